"""``mlpipe sweep``: end jobs that nobody owns."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.execution.sweep import Swept, TaskIsOver, sweep
from airflow_mlpipe.retention.base import age
from airflow_mlpipe.workspace import Workspace

DESCRIPTION = """\
End jobs that still run although nobody owns them: their record was closed, their step has ended, or a later job of the
same step was begun, but they could not be cancelled at that time. A job must be so in two looks, a grace apart.

Jobs of runs that may still go on are left alone. If you know that a run is dead (its 'mlpipe run' was killed, its DAG
run deleted), name it with --run: its jobs are ended too. In Airflow, the DAG mlpipe_sweep does this and asks Airflow
which tasks are over."""
EXAMPLES = """\
mlpipe sweep --dry-run                    what would be ended, and why
mlpipe sweep                              end it
mlpipe sweep --run flights/manual__2026-01-05T06-00-00 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--dry-run", action="store_true", help="only look")
    parser.add_argument(
        "--run",
        dest="dead",
        action="append",
        default=[],
        metavar="PIPELINE/RUN",
        help="this run is dead; may be repeated",
    )
    parser.add_argument(
        "--grace", default="30", metavar="AGE", help="time between the two looks: 30 (seconds, default), 2m"
    )
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Sweep; 1 if a job could not be reached."""
    workspace = open_workspace(arguments, Path.cwd())
    judge = _dead_runs(workspace, arguments.dead)
    swept = sweep(workspace, judge, age(arguments.grace, "--grace").total_seconds(), arguments.dry_run)
    if arguments.json:
        print(json.dumps([item.to_json() for item in swept], indent=2))
    else:
        _show(swept)
    return 1 if any(item.outcome == "not reached" for item in swept) else 0


def _dead_runs(workspace: Workspace, names: list[str]) -> TaskIsOver:
    dead = set()
    for name in names:
        pipeline, _, run_id = name.partition("/")
        if not run_id or workspace.runs.read_run(pipeline, run_id) is None:
            known = ", ".join(run.run_id for run in workspace.runs.runs(pipeline)[-3:]) if pipeline else ""
            hint = f" The latest runs of {pipeline}: {known}." if known else " Write PIPELINE/RUN; see 'mlpipe runs'."
            raise ParameterError(f"--run {name}: there is no such run in workspace {workspace.name!r}.{hint}")
        dead.add((pipeline, run_id))

    def over(pipeline: str, run_id: str, _step: str) -> bool | None:
        return True if (pipeline, run_id) in dead else None

    return over


def _show(swept: list[Swept]) -> None:
    from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

    if not swept:
        print("No job is without an owner.")
        return
    rows = [
        (item.step, item.outcome, f"{item.run_id} of {item.pipeline}", item.target, item.key, item.why, item.detail)
        for item in swept
    ]
    print_table(("step", "outcome", "run", "target", "job", "why", "detail"), rows)
