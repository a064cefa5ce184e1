"""Generated DAG files against hand-written ones and three other generators; and what generating a thousand costs."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.handwritten import layered_dag
from benchmarks.measure import BenchmarkError, Sample, Series, cpus, paired_ratio
from benchmarks.parse import airflow_environment, probe
from benchmarks.peers import FLEET_PEERS, PEERS, write_static
from benchmarks.pipelines import layered_pipeline, write_source
from benchmarks.report import Bound, Report, Row, compared
from benchmarks.settings import Settings, mlpipe

SIZES = (10, 100, 1000)
FLEET, FLEET_TASKS = 100, 10
PIPELINES, TASKS = 1000, 10
_LIMIT, _TASK_START = 1.1, 0.030
_FIRST, _AGAIN, _MEGABYTES = 30, 2, 300
_BAD = Path(__file__).resolve().parents[1] / "tests" / "spec" / "bad"
_BAD_SECONDS, _BAD_MEGABYTES = 2, 200
_LOOK = 0.05


def run(settings: Settings) -> list[Report]:
    """Measure parsing, a fleet, generating many, and refusing bad pipelines."""
    return [
        _parsing(settings, settings.folder / "parsing"),
        _generating(settings, settings.folder / "many", PIPELINES),
        _refusing(settings, settings.folder / "bad"),
    ]


def cases() -> dict[str, dict[str, int]]:
    """Return what is parsed: a case to its DAGs, each a name and a number of tasks."""
    single = {f"1 x {size}": {f"layers_{size}": size} for size in SIZES}
    return {**single, f"{FLEET} x {FLEET_TASKS}": {f"fleet_{number:03d}": FLEET_TASKS for number in range(FLEET)}}


def _parsing(settings: Settings, folder: Path) -> Report:
    """Parse the same graphs, each system in its own environment beside hand-written files of its kind."""
    report = Report("First parse of DAG folders, in a fork that has imported Airflow")
    for case, dags in cases().items():
        settings.say(f"{case}: ours and by hand")
        generated, written = write_ours(folder / case / "ours", dags)
        _compare(report, f"{case}, generated", generated, written, (settings, folder, Path(sys.executable), _LIMIT))
    _task_start(report, settings, folder)
    for peer in PEERS:
        python = peer.python()
        for case, dags in cases().items():
            if len(dags) > 1 and peer not in FLEET_PEERS:
                continue
            settings.say(f"{case}: {peer.package}")
            static = write_static(folder / case / peer.package / "static", dags)
            loader = peer.write(folder / case / peer.package / peer.package.replace("-", "_"), dags)
            ours = f"{static.parent}@{len(dags)}"
            _compare(report, f"{case}, {peer.pin}", f"{loader}@{len(dags)}", ours, (settings, folder, python, None))
    report.notes.append(
        "Each system against hand-written files with the operators that it uses, in its own environment, by turns;"
        " CPU seconds. What a task start parses is the file of its DAG: for dag-factory and blueprint the loader, thus"
        " every DAG of the folder."
    )
    return report


def write_ours(folder: Path, dags: Mapping[str, int]) -> tuple[str, str]:
    """Generate DAGs and write the same by hand; return both folders as targets of the probe."""
    generated = generate(folder, dags)
    written = folder / "written"
    written.mkdir()
    for name, steps in dags.items():
        (written / f"{name}.py").write_text(layered_dag(name, steps, code="../pipelines/src"))
    return f"{generated}@{len(dags)}", f"{written}@{len(dags)}"


def generate(folder: Path, dags: Mapping[str, int]) -> Path:
    """Write pipelines, generate their DAG files and return the folder of these."""
    write_pipelines(folder / "pipelines", dags)
    call_mlpipe(folder, f"{len(dags)} written, 0 unchanged")
    return folder / "dags"


def write_pipelines(folder: Path, dags: Mapping[str, int]) -> None:
    """Write one pipeline file a DAG."""
    folder.mkdir(parents=True)
    write_source(folder)
    for name, steps in dags.items():
        (folder / f"{name}.yml").write_text(layered_pipeline(name, steps))


_Place = tuple[Settings, Path, Path, float | None]


def _compare(report: Report, what: str, target: str, by_hand: str, place: _Place) -> None:
    settings, folder, python, limit = place
    found = probe([target, by_hand], settings.repeats, folder, python)
    ours, theirs = (_series(found[name]) for name in (target, by_hand))
    peer = Row(f"{what.partition(',')[0]}, by hand", theirs)
    report.rows += [compared(what, ours, peer, by="cpu"), peer]
    if limit is not None:
        text = f"{what} costs at most {limit} x of hand-written, in CPU seconds"
        report.bounds.append(Bound(text, paired_ratio(cpus(ours), cpus(theirs)), limit, "at most", "x"))


def _task_start(report: Report, settings: Settings, folder: Path) -> None:
    files = sorted((folder / f"{FLEET} x {FLEET_TASKS}" / "ours" / "dags").glob("*.py"))
    found = probe([files[0]], settings.repeats, folder)
    series = _series(found[str(files[0])])
    report.rows.append(Row(f"one task start among {FLEET} DAGs", series))
    median = sorted(cpus(series))[len(series) // 2]
    report.bounds.append(Bound("one task start parses in at most 0.03 CPU seconds", median, _TASK_START, "at most"))


def _series(found: Mapping[str, Any]) -> Series:
    return [Sample(*measured["first"]) for measured in found["rounds"]]


@dataclass(frozen=True)
class Call:
    """What a call of the command cost.

    :param memory: largest sum of resident megabytes of it and the processes that it started, looked at each 50 ms.
    """

    sample: Sample
    memory: float
    code: int
    said: str


def call_mlpipe(folder: Path, expect: str, *words: str, code: int = 0) -> Call:
    """Run ``mlpipe generate`` over ``pipelines``, into ``dags``.

    :raises BenchmarkError: if it ends otherwise than expected.
    """
    variables = {**airflow_environment(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    command = [str(mlpipe()), "generate", *(words or ("pipelines",)), "-o", "dags"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=subprocess.STDOUT)
        memory = _Memory(process.pid)
        found = process.wait()
        wall = time.perf_counter() - began
        output.seek(0)
        said = output.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if found != code or expect not in said:
        raise BenchmarkError(f"{' '.join(command)} ended with {found}:\n{said[-3000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Call(Sample(wall, cpu), memory.most(), found, said)


class _Memory:
    """Watches a process and those that it starts."""

    def __init__(self, pid: int) -> None:
        self._most = 0.0
        self._thread = threading.Thread(target=self._watch, args=(pid,))
        self._thread.start()

    def most(self) -> float:
        """Return the largest sum in megabytes, once the process has ended."""
        self._thread.join()
        return self._most

    def _watch(self, pid: int) -> None:
        try:
            process = psutil.Process(pid)
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                family = [process, *process.children(recursive=True)]
                self._most = max(self._most, sum(_resident(each) for each in family) / 1e6)
                time.sleep(_LOOK)
        except psutil.NoSuchProcess:
            return


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _generating(settings: Settings, folder: Path, number: int) -> Report:
    """Generate many pipelines, then again without a change, then with one."""
    report = Report(f"mlpipe generate over {number} pipelines of {TASKS} tasks")
    dags = {f"pipeline_{place:04d}": TASKS for place in range(number)}
    write_pipelines(folder / "pipelines", dags)
    settings.say(f"{number} pipelines: first pass")
    first = call_mlpipe(folder, f"{number} written, 0 unchanged")
    settings.say("again")
    again = [call_mlpipe(folder, f"0 written, {number} unchanged") for _ in range(settings.repeats)]
    changed = []
    for repeat in range(settings.repeats):
        path = folder / "pipelines" / "pipeline_0000.yml"
        path.write_text(path.read_text().replace("Layers of steps", f"Layers of steps {repeat}", 1))
        changed.append(call_mlpipe(folder, f"1 written, {number - 1} unchanged"))
    report.rows = [
        Row("first pass", [first.sample]),
        Row("nothing changed", [call.sample for call in again]),
        Row("one changed", [call.sample for call in changed]),
    ]
    wall = sorted(call.sample.wall for call in again)[len(again) // 2]
    report.bounds = [
        Bound(f"{number} pipelines at first in at most {_FIRST} s", first.sample.wall, _FIRST, "at most"),
        Bound(f"with at most {_MEGABYTES} MB in all processes", first.memory, _MEGABYTES, "at most", "MB"),
        Bound(f"unchanged in at most {_AGAIN} s", wall, _AGAIN, "at most"),
    ]
    report.notes = [
        f"First pass: {first.sample.cpu:.1f} s of CPU in two processes side by side; memory is the sum of both.",
        "Wall seconds depend on what else the machine does; see its load.",
    ]
    return report


def _refusing(settings: Settings, folder: Path) -> Report:
    """Give the command every bad pipeline of the test corpus, each in a process of its own."""
    settings.say("bad pipelines")
    folder.mkdir(parents=True)
    calls = []
    for path in sorted(_BAD.glob("*.yml")):
        calls.append(call_mlpipe(folder, " error MLP", os.path.relpath(path, folder), code=2))
        if "Traceback" in calls[-1].said or (folder / "dags").exists():
            raise BenchmarkError(f"{path.name}: a traceback, or a file:\n{calls[-1].said}")
    report = Report(f"mlpipe generate of {len(calls)} bad pipelines, one at a time")
    report.rows = [Row("each", [call.sample for call in calls])]
    slowest, largest = max(call.sample.cpu for call in calls), max(call.memory for call in calls)
    report.bounds = [
        Bound(f"each refused within {_BAD_SECONDS} s of CPU", slowest, _BAD_SECONDS, "at most"),
        Bound(f"each with at most {_BAD_MEGABYTES} MB", largest, _BAD_MEGABYTES, "at most", "MB"),
    ]
    return report
