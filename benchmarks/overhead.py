"""What a step costs that is run for the first time: against a BashOperator with the same command, in a real Airflow.

Every run computes every step (``reuse: force``), the plan task included. Airflow runs as installed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from airflow_mlpipe.testing.airflow_server import AirflowServer
from airflow_mlpipe.workspace import find_workspace
from benchmarks.measure import BenchmarkError, Sample, Series, interleave, paired_ratio, walls
from benchmarks.noop_scheduler import AS_INSTALLED, Seen, trigger
from benchmarks.parse import generate
from benchmarks.pipelines import SCRIPT, SOURCE, chain_pipeline, step_name
from benchmarks.report import Bound, Report, Row, compared
from benchmarks.settings import Settings

STEPS = 10
BASH, SYNC, DEFERRED = "bash", "worker", "deferred"
_OURS = {SYNC: "deferrable=False", DEFERRED: "defer_after=0.0, poll_interval=0.5"}
_RULE = 'trigger_rule="none_failed",'
_FORCE = {"reuse": "force"}
_HEAD = '''\
"""A chain of plain commands."""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(dag_id="{name}", schedule=None, catchup=False):
'''
_TASK = '    {task} = BashOperator(task_id="{task}", bash_command={command!r})\n'


def run(settings: Settings) -> list[Report]:
    """Repeat the three DAGs by turns."""
    write_dags(settings.folder, STEPS)
    settings.say("starting Airflow")
    with AirflowServer(settings.folder / "airflow", settings.folder / "dags", config=AS_INSTALLED) as server:
        for dag_id in (BASH, SYNC, DEFERRED):
            server.api.wait_dag(dag_id)
            server.api.unpause(dag_id)
        settings.say("one run of each, then the rounds")
        seen: dict[str, list[Seen]] = {name: [] for name in (BASH, SYNC, DEFERRED)}
        actions = {name: partial(_first_run, server, settings.folder, name, seen[name]) for name in seen}
        interleave(actions, 1)
        for runs in seen.values():
            runs.clear()
        interleave(actions, settings.repeats)
    return [report({name: [one.duration for one in runs] for name, runs in seen.items()})]


def write_dags(folder: Path, steps: int) -> None:
    """Write the DAG files into ``dags``: the plain one, and what the generator makes, once for each way of waiting."""
    path = generate(folder, chain_pipeline(SYNC, steps))
    text, own = path.read_text(), f'dag_id="{SYNC}"'
    if text.count(_RULE) != steps or own not in text:
        raise BenchmarkError(f"{path} does not have {steps} steps with {_RULE} and {own}")
    for name, arguments in _OURS.items():
        ours = text.replace(_RULE, f"{_RULE} {arguments},").replace(own, f'dag_id="{name}"')
        path.with_name(f"{name}.py").write_text(ours)
    (folder / "dags" / f"{BASH}.py").write_text(bash_chain(folder, steps))


def bash_chain(folder: Path, steps: int) -> str:
    """Return the DAG file of the same commands without this product."""
    text = _HEAD.format(name=BASH)
    names = [step_name(number) for number in range(steps)]
    for number, task in enumerate(names):
        out = folder / "plain" / task
        before = f" {folder / 'plain' / names[number - 1]}" if number else ""
        command = f"mkdir -p {out} && sh {folder / SOURCE / SCRIPT} {number} {out}{before} "
        text += _TASK.format(task=task, command=command)
    return f"{text}    {' >> '.join(names)}\n"


def _first_run(server: AirflowServer, folder: Path, dag_id: str, seen: list[Seen]) -> Sample:
    run_id, one = trigger(server, dag_id, None if dag_id == BASH else _FORCE)
    if dag_id != BASH:
        decisions = [record.decision for record in find_workspace(folder).runs.steps(dag_id, run_id)]
        if decisions != ["ran"] * STEPS:
            raise BenchmarkError(f"{dag_id} {run_id} did not run every step: {decisions}")
    seen.append(one)
    return one.duration


def report(durations: dict[str, Series]) -> Report:
    """Compare the durations of the runs by Airflow's own clock."""
    result = Report(f"First run of {STEPS} steps in a chain: SQLite, LocalExecutor, default settings of the scheduler")
    base = Row(f"{STEPS} BashOperators", durations[BASH])
    result.rows = [
        base,
        compared(f"{STEPS} steps and their plan, waiting in the worker", durations[SYNC], base),
        compared(f"{STEPS} steps and their plan, each deferred", durations[DEFERRED], base),
    ]
    ratio = paired_ratio(walls(durations[SYNC]), walls(durations[BASH]))
    result.bounds = [
        Bound("a first run takes at most 1.25 times as long as the same commands alone", ratio, 1.25, "at most", "x")
    ]
    result.notes = [
        "Each step's job was started apart from its worker, its outputs hashed, verified, published and recorded.",
        "Deferred at once, which no step of this length is by default: steps wait 10 s in the worker first.",
    ]
    return result
