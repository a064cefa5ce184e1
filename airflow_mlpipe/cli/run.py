"""``mlpipe run``: the pipeline on this machine, without Airflow; the same records, the same reuse."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from airflow_mlpipe.cli.event_lines import EventLines, metrics_text
from airflow_mlpipe.cli.run_options import add_run_options, open_run
from airflow_mlpipe.execution.events import Event, Outcome
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.run_pipeline import run_pipeline
from airflow_mlpipe.frozen import plain
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace

DESCRIPTION = "Run a pipeline on this machine, without Airflow. Steps that are identical to earlier ones are reused."
EXAMPLES = "mlpipe run pipeline.yml --date 2013-03-01 --param learning_rate=0.2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_options(parser)
    parser.add_argument(
        "--parallel", type=int, default=4, metavar="N", help="steps that run at the same time; default 4"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no script output, only the table")


def run(arguments: argparse.Namespace) -> int:
    """Run the pipeline; 0 if every step ended well, else 1."""
    spec, workspace, info = open_run(arguments)
    if arguments.json or arguments.quiet:
        outcome = run_pipeline(workspace, spec.steps, info, _ignore, arguments.parallel)
    else:
        print(_headline(info, workspace.name))
        outcome = _run_shown(workspace, spec.steps, info, arguments.parallel)
    if arguments.json:
        print(json.dumps(_plain(info, outcome), indent=2))
    elif _is_all_said(arguments, outcome):
        _print_counts(outcome)
    else:
        _print_outcome(outcome)
    return 0 if outcome.succeeded else 1


def _ignore(_: Event) -> None:
    return


def _on_terminal() -> bool:
    return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))


def _run_shown(workspace: Workspace, steps: Sequence[Step], info: RunInfo, parallel: int) -> Outcome:
    names = [step.name for step in steps]
    if not _on_terminal():
        return run_pipeline(workspace, steps, info, EventLines(names).show, parallel)
    from airflow_mlpipe.cli.display import RunDisplay  # noqa: PLC0415 - rich is slow to import

    with RunDisplay(names) as display:
        return run_pipeline(workspace, steps, info, display.show, parallel)


def _is_all_said(arguments: argparse.Namespace, outcome: Outcome) -> bool:
    """Whether the plain lines have said all that the table would: nothing ran, nothing failed."""
    decisions = {record.decision for record in outcome.records.values()}
    nothing_ran = outcome.succeeded and decisions.isdisjoint(("ran", "failed"))
    return nothing_ran and not arguments.quiet and not _on_terminal()


def _headline(info: RunInfo, workspace: str) -> str:
    given = ", ".join(f"{name}={value}" for name, value in info.parameters.items())
    date = str(info.fields["ds"])
    return f"{info.pipeline} run {info.run_id} in workspace {workspace}; date {date}; {given or 'no parameters'}"


def _plain(info: RunInfo, outcome: Outcome) -> dict[str, object]:
    steps: dict[str, object] = {name: plain(record) for name, record in outcome.records.items()}
    steps |= {name: {"step": name, "decision": "failed", "reason": text} for name, text in outcome.errors.items()}
    steps |= {name: {"step": name, "decision": "upstream_failed"} for name in outcome.blocked}
    return {
        "pipeline": info.pipeline,
        "run_id": info.run_id,
        "succeeded": outcome.succeeded,
        "seconds": round(outcome.seconds, 3),
        "steps": steps,
    }


def _print_outcome(outcome: Outcome) -> None:
    from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is slow to import

    rows = [_row(record) for record in outcome.records.values()]
    rows += [(name, "failed", text.splitlines()[0], "", "", "") for name, text in outcome.errors.items()]
    rows += [(name, "not run", "a step before it failed", "", "", "") for name in outcome.blocked]
    print_table(("step", "what", "why", "seconds", "registered", "metrics"), rows)
    for text in outcome.errors.values():
        print(f"\n{text}")
    _print_counts(outcome)


def _print_counts(outcome: Outcome) -> None:
    ran = sum(record.decision == "ran" for record in outcome.records.values())
    reused = sum(record.decision == "reused" for record in outcome.records.values())
    left_out = sum(record.decision == "skipped" for record in outcome.records.values())
    saved = sum(record.saved for record in outcome.records.values())
    counts = f"{ran} ran, {reused} reused (about {saved:.0f} s saved), {len(outcome.errors)} failed"
    skipped = f", {left_out} left out by a condition" if left_out else ""
    print(f"\n{counts}{skipped}; {outcome.seconds:.1f} s")


def _row(record: StepRecord) -> tuple[str, ...]:
    spent = f"{record.seconds:.1f}" if record.decision == "ran" else ""
    registered = ", ".join(record.registered.values())
    return (record.step, record.decision, record.reason, spent, registered, metrics_text(record.metrics))
