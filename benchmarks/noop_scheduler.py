"""An unchanged run in a real Airflow: with the plan task, with a decision in each task, and a DAG of one task.

Airflow runs as installed: its scheduler's idle sleep is the default second, its executor the LocalExecutor.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import psutil

from airflow_mlpipe.testing.airflow_server import AirflowServer
from airflow_mlpipe.workspace import find_workspace
from benchmarks.measure import BenchmarkError, Sample, Series, interleave, paired_ratio, walls
from benchmarks.parse import generate
from benchmarks.pipelines import chain_pipeline
from benchmarks.report import Bound, Report, Row, compared
from benchmarks.settings import Settings
from benchmarks.without_plan import without_plan

STEPS = 50
PLANNED, UNPLANNED, ONE_TASK = "planned", "unplanned", "one_task"
ONE_TASK_DAG = f'''\
"""One task that does nothing: the least that a run costs."""

from airflow.sdk import DAG, task

with DAG(dag_id="{ONE_TASK}", schedule=None, catchup=False):

    @task
    def nothing() -> None:
        return None

    nothing()
'''
AS_INSTALLED = {"scheduler.scheduler_idle_sleep_time": "1"}
_SLOW_ROUNDS = 2
_PATIENCE = 900.0
_POLL = 0.1


@dataclass(frozen=True)
class Seen:
    """A run as Airflow and its client saw it.

    :param duration: from start to end, in seconds, as Airflow says.
    :param wait: from the call to the answer that the run has ended.
    """

    duration: Sample
    wait: Sample


def run(settings: Settings) -> list[Report]:
    """Compute once, then repeat the three DAGs by turns."""
    write_dags(settings.folder, STEPS)
    settings.say("starting Airflow")
    with AirflowServer(settings.folder / "airflow", settings.folder / "dags", config=AS_INSTALLED) as server:
        for dag_id in (PLANNED, UNPLANNED, ONE_TASK):
            server.api.wait_dag(dag_id)
            server.api.unpause(dag_id)
        settings.say(f"computing {STEPS} steps; each costs Airflow a second or two")
        trigger(server, ONE_TASK)
        trigger(server, PLANNED)
        return [_measure(settings, server)]


def write_dags(folder: Path, steps: int) -> None:
    """Write the three DAG files into ``dags``, the first by the generator from a YAML that is written too."""
    planned = generate(folder, chain_pipeline(PLANNED, steps))
    planned.with_name(f"{UNPLANNED}.py").write_text(without_plan(planned.read_text(), UNPLANNED))
    planned.with_name(f"{ONE_TASK}.py").write_text(ONE_TASK_DAG)


def _measure(settings: Settings, server: AirflowServer) -> Report:
    seen: dict[str, list[Seen]] = {PLANNED: [], UNPLANNED: [], ONE_TASK: []}
    slow = min(settings.repeats, _SLOW_ROUNDS)
    settings.say(f"rounds of all three DAGs: {slow}")
    interleave({name: partial(_no_op, server, settings.folder, name, seen[name]) for name in seen}, slow)
    settings.say(f"further rounds of the two quick ones: {settings.repeats - slow}")
    quick = {name: partial(_no_op, server, settings.folder, name, seen[name]) for name in (ONE_TASK, PLANNED)}
    interleave(quick, settings.repeats - slow)
    return report(seen)


def report(seen: dict[str, list[Seen]]) -> Report:
    """Compare the runs: by Airflow's own clock for the bounds, and by the client's."""
    result = Report(f"No-op of {STEPS} steps in Airflow: SQLite, LocalExecutor, default settings of the scheduler")
    for what, of in (("run duration", _durations), ("seen by the client", _waits)):
        planned, unplanned, one = (of(seen[name]) for name in (PLANNED, UNPLANNED, ONE_TASK))
        base = Row(f"one task that does nothing, {what}", one)
        ours = compared(f"{STEPS} steps reused, {what}", planned, base)
        result.rows += [ours, base, compared(f"{STEPS} steps without plan task, {what}", unplanned, ours)]
    against_one = paired_ratio(walls(_durations(seen[PLANNED])), walls(_durations(seen[ONE_TASK])))
    slower = paired_ratio(walls(_durations(seen[UNPLANNED])), walls(_durations(seen[PLANNED])))
    result.bounds = [
        Bound("the run takes at most 1.5 times as long as a DAG of one task", against_one, 1.5, "at most", "x"),
        Bound("without the plan task it takes at least 20 times as long", slower, 20, "at least", "x"),
    ]
    result.notes = [
        "CPU: of all processes of Airflow, from the call to the end of the run; the idle scheduler is in it.",
        "Before the rounds, one run of each quick DAG; every repeat was checked to have reused every step.",
    ]
    return result


def _durations(seen: Iterable[Seen]) -> Series:
    return [one.duration for one in seen]


def _waits(seen: Iterable[Seen]) -> Series:
    return [one.wait for one in seen]


def trigger(server: AirflowServer, dag_id: str, conf: dict[str, str] | None = None) -> tuple[str, Seen]:
    """Start a run, wait for its end, and return its id and what it cost.

    :param conf: parameters of the run.
    :raises BenchmarkError: if it fails.
    """
    cpu, began = tree_cpu(), time.perf_counter()
    run_id = server.api.trigger(dag_id, conf)
    state = _wait(lambda: str(server.api.run(dag_id, run_id)["state"]))
    wall, spent = time.perf_counter() - began, tree_cpu() - cpu
    if state != "success":
        raise BenchmarkError(f"{dag_id} {run_id} ended in {state}: {server.api.task_states(dag_id, run_id)}")
    answer = server.api.run(dag_id, run_id)
    duration = datetime.fromisoformat(answer["end_date"]) - datetime.fromisoformat(answer["start_date"])
    return run_id, Seen(Sample(duration.total_seconds(), spent), Sample(wall, spent))


def _wait(state: Callable[[], str]) -> str:
    deadline = time.monotonic() + _PATIENCE
    while (found := state()) not in ("success", "failed"):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"a run was still {found} after {_PATIENCE:.0f} s")
        time.sleep(_POLL)
    return found


def _no_op(server: AirflowServer, folder: Path, dag_id: str, seen: list[Seen]) -> Sample:
    run_id, one = trigger(server, dag_id)
    if dag_id != ONE_TASK:
        check_reused(folder, dag_id, run_id, server.api.task_states(dag_id, run_id))
    seen.append(one)
    return one.duration


def check_reused(folder: Path, dag_id: str, run_id: str, states: dict[str, str | None]) -> None:
    """Check that a run reused every step, skipped by the plan or decided in its own task.

    :raises BenchmarkError: if it did not.
    """
    records = find_workspace(folder).runs.steps(dag_id, run_id)
    decisions = Counter(record.decision for record in records)
    wanted = "skipped" if dag_id == PLANNED else "success"
    ended = Counter(state for task, state in states.items() if task != "plan")
    if decisions != {"reused": len(records)} or ended != {wanted: len(records)} or not records:
        raise BenchmarkError(f"{dag_id} {run_id} was no no-op: {dict(decisions)}, tasks {dict(ended)}")


def tree_cpu() -> float:
    """Return the CPU seconds of all processes that this one has started, and of those that these have waited for."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
