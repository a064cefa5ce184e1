"""What Airflow pays to parse generated DAG files, against files that a person would write with the same operators."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.handwritten import layered_dag
from benchmarks.measure import BenchmarkError, Sample, Series, cpus, paired_ratio, run_process
from benchmarks.pipelines import layered_pipeline, write_project
from benchmarks.report import Bound, Report, Row, compared
from benchmarks.settings import Settings, environment, mlpipe

SIZES = (10, 100, 1000)
_ROUNDS_PER_REPEAT = 3
_LIMIT = 1.1
_PATIENCE = 1800
MACHINES: tuple[dict[str, str], ...] = (
    {"PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "2", "TZ": "America/New_York", "LC_ALL": "C.UTF-8"},
)
"""Environments of two machines that must generate the same bytes."""


def run(settings: Settings) -> list[Report]:
    """Measure the parse of DAGs of three sizes, and generate one of them on two machines."""
    report = Report("Parse of one DAG file by Airflow's DagBag, in a fork that has imported Airflow")
    pairs: dict[int, tuple[Path, Path]] = {}
    for size in SIZES:
        settings.say(f"{size} tasks: generating")
        pairs[size] = write_pair(settings.folder / str(size), size)
    rounds = settings.repeats * _ROUNDS_PER_REPEAT
    settings.say(f"{rounds} rounds")
    found = probe([path for pair in pairs.values() for path in pair], rounds, settings.folder)
    for size, (generated, written) in pairs.items():
        _add(report, size, found[str(generated)], found[str(written)])
    settings.say("generating on two machines")
    same = same_bytes(settings.folder / "machines")
    what = "other hash seed, time zone, locale, checkout and working folder"
    report.notes = [
        "first: with the import of our operators, as in the DAG processor and at each start of a task;"
        " again: the same process parses the file once more. Nothing is kept in __pycache__.",
        f"Same bytes with {what}: {'yes' if same else 'NO'}.",
    ]
    return [report]


def write_pair(folder: Path, size: int) -> tuple[Path, Path]:
    """Generate a DAG of a size and write the same by hand; return the two files."""
    generated = generate(folder, layered_pipeline(f"generated_{size}", size))
    written = folder / "written" / f"written_{size}.py"
    written.parent.mkdir()
    written.write_text(layered_dag(written.stem, size, code="../src"))
    return generated, written


def generate(folder: Path, pipeline: str, machine: Mapping[str, str] | None = None, cwd: Path | None = None) -> Path:
    """Write a pipeline into a folder, generate its DAG file in ``dags`` beside it, and return that file.

    :param machine: environment variables that differ from ours.
    """
    path = write_project(folder, pipeline)
    variables = {**airflow_environment(folder), **(machine or {})}
    run_process([mlpipe(), "generate", path, "-o", folder / "dags"], cwd or folder, variables, expect="1 written")
    (file,) = (folder / "dags").glob("*.py")
    return file


def same_bytes(folder: Path) -> bool:
    """Return whether two machines, with checkouts in different places, generate the same file."""
    texts = set()
    for number, machine in enumerate(MACHINES):
        checkout = folder / f"machine {number}" / ("deep/" * number) / "checkout"
        cwd = checkout if number else Path("/")
        texts.add(generate(checkout, layered_pipeline("same", SIZES[0]), machine, cwd).read_bytes())
    return len(texts) == 1


def airflow_environment(folder: Path) -> dict[str, str]:
    """Return environment variables of an Airflow that keeps to a folder."""
    kept = {name: value for name, value in environment().items() if not name.startswith("AIRFLOW_")}
    home = {"AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    return {**kept, **home}


def probe(
    targets: Sequence[Path | str], rounds: int, folder: Path, python: str | Path = sys.executable
) -> dict[str, Any]:
    """Return what :mod:`benchmarks.parse_probe` finds in DAG files and measures of them.

    :param targets: files with one DAG, or ``<file or folder>@<number of DAGs>``.
    :param python: an interpreter with Airflow.
    :raises BenchmarkError: if a file does not hold one DAG.
    """
    command = [str(python), str(Path(__file__).with_name("parse_probe.py")), str(rounds), *map(str, targets)]
    variables = {**airflow_environment(folder), "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=_PATIENCE)
    if done.returncode:
        raise BenchmarkError(f"The parse of the DAG files failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _add(report: Report, size: int, generated: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    for kind in ("first", "again"):
        ours, theirs = _series(generated, kind), _series(written, kind)
        peer = Row(f"{size} tasks, written by hand, {kind}", theirs)
        report.rows += [compared(f"{size} tasks, generated, {kind}", ours, peer, by="cpu"), peer]
        ratio = paired_ratio(cpus(ours), cpus(theirs))
        text = f"{size} tasks, {kind}: generated costs at most {_LIMIT} x of hand-written, in CPU seconds"
        report.bounds.append(Bound(text, ratio, _LIMIT, "at most", "x"))


def _series(found: Mapping[str, Any], kind: str) -> Series:
    return [Sample(*measured[kind]) for measured in found["rounds"]]
