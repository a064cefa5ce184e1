"""``mlpipe run`` where nothing has changed, as a whole process, against ``dvc repro`` of the same chain."""

from __future__ import annotations

import shutil
import statistics
import time
from functools import partial
from pathlib import Path

from benchmarks import dvc
from benchmarks.measure import Sample, Series, interleave, run_process, walls
from benchmarks.pipelines import chain_for_dvc, chain_pipeline, write_big_data, write_project, write_source
from benchmarks.report import Bound, Report, Row, compared
from benchmarks.settings import Settings, environment, mlpipe

STEPS = 50
BIG_FILE = 1 << 30
SMALL_FILES = 20_000
_SETTLED = 2.5
"""Seconds. Data that changed a moment ago is read again, by design; a user's inputs are older than that."""


def run(settings: Settings) -> list[Report]:
    """Measure the chain alone, then with much data as its input."""
    settings.say("DVC's virtual environment")
    command = dvc.ensure()
    return [_small(settings, command), _big(settings, command)]


def start_project(folder: Path, steps: int, data: dict[str, str] | None = None) -> Path:
    """Write a chain and compute it once; return the pipeline's path."""
    pipeline = write_project(folder, chain_pipeline("noop", steps, data))
    run_process([mlpipe(), "run", pipeline], folder, environment(), expect=f"{steps} ran, 0 reused")
    return pipeline


def no_op(pipeline: Path, steps: int) -> Sample:
    """Run a chain again.

    :raises BenchmarkError: if it ran a step.
    """
    return run_process([mlpipe(), "run", pipeline], pipeline.parent, environment(), expect=f"0 ran, {steps} reused")


def _small(settings: Settings, command: Path) -> Report:
    settings.say(f"{STEPS} steps: computing them once with mlpipe, once with DVC")
    ours, theirs = settings.folder / "ours", settings.folder / "dvc"
    write_source(theirs)
    pipeline = start_project(ours, STEPS)
    dvc.start_project(command, theirs, chain_for_dvc(STEPS))
    settings.say(f"{STEPS} steps: {settings.repeats} rounds")
    samples = _alternate(settings, pipeline, command, theirs)
    report = _report(f"No-op of {STEPS} steps on the laptop, whole processes", samples)
    median = statistics.median(walls(samples["mlpipe run"]))
    report.bounds = [
        Bound("mlpipe run takes at most 0.5 s", median, 0.5, "at most"),
        Bound("dvc repro takes at least 6 times as long", report.rows[1].ratio or 0.0, 6, "at least", "x"),
    ]
    return report


def _big(settings: Settings, command: Path) -> Report:
    what = f"{BIG_FILE / (1 << 30):g} GiB and {SMALL_FILES:,} files"
    settings.say(f"{what}: writing them, and computing {STEPS} steps once with mlpipe, once with DVC")
    folder = settings.folder / "big"
    write_big_data(folder / "data", BIG_FILE, SMALL_FILES)
    time.sleep(_SETTLED)
    data = {"one": "data/one", "many": "data/many"}
    pipeline = start_project(folder, STEPS, {port: f"./{path}" for port, path in data.items()})
    dvc.start_project(command, folder, chain_for_dvc(STEPS, data))
    settings.say(f"{what}: {settings.repeats} rounds")
    samples = _alternate(settings, pipeline, command, folder)
    report = _report(f"The same with {what} of input", samples)
    median = statistics.median(walls(samples["mlpipe run"]))
    report.bounds = [
        Bound("mlpipe run takes at most 0.6 s", median, 0.6, "at most"),
        Bound("dvc repro takes at least 7 times as long", report.rows[1].ratio or 0.0, 7, "at least", "x"),
    ]
    shutil.rmtree(folder)
    return report


def _alternate(settings: Settings, pipeline: Path, command: Path, theirs: Path) -> dict[str, Series]:
    no_op(pipeline, STEPS)
    dvc.no_op(command, theirs)
    actions = {"mlpipe run": partial(no_op, pipeline, STEPS), "dvc repro": partial(dvc.no_op, command, theirs)}
    return interleave(actions, settings.repeats)


def _report(title: str, samples: dict[str, Series]) -> Report:
    ours = Row("mlpipe run", samples["mlpipe run"])
    note = f"DVC {dvc.version()} from PyPI, compiled, without git and analytics. Before the rounds, one no-op of each."
    return Report(title, [ours, compared("dvc repro", samples["dvc repro"], ours)], notes=[note])
