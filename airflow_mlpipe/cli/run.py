"""``mlpipe run``: the pipeline on this machine, without Airflow; the same records, the same reuse."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable

from airflow_mlpipe.cli.run_options import add_run_options, open_run
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.run_pipeline import Event, Outcome, run_pipeline
from airflow_mlpipe.tracking.base import StepRecord

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
        from airflow_mlpipe.cli.display import RunDisplay  # noqa: PLC0415 - rich is not needed for --json

        print(_headline(info, workspace.name))
        with RunDisplay([step.name for step in spec.steps]) as display:
            outcome = run_pipeline(workspace, spec.steps, info, display.show, arguments.parallel)
    if arguments.json:
        print(json.dumps(_plain(info, outcome), indent=2))
    else:
        _print_outcome(outcome)
    return 0 if outcome.succeeded else 1


def _ignore(_: Event) -> None:
    return


def _headline(info: RunInfo, workspace: str) -> str:
    given = ", ".join(f"{name}={value}" for name, value in info.parameters.items())
    date = str(info.fields["ds"])
    return f"{info.pipeline} run {info.run_id} in workspace {workspace}; date {date}; {given or 'no parameters'}"


def _plain(info: RunInfo, outcome: Outcome) -> dict[str, object]:
    steps: dict[str, object] = {name: json.loads(record.model_dump_json()) for name, record in outcome.records.items()}
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
    from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

    rows = [_row(record) for record in outcome.records.values()]
    rows += [(name, "failed", text.splitlines()[0], "", "", "") for name, text in outcome.errors.items()]
    rows += [(name, "not run", "a step before it failed", "", "", "") for name in outcome.blocked]
    print_table(("step", "what", "why", "seconds", "registered", "metrics"), rows)
    for text in outcome.errors.values():
        print(f"\n{text}")
    ran = sum(record.decision == "ran" for record in outcome.records.values())
    reused = len(outcome.records) - ran
    saved = sum(record.saved for record in outcome.records.values())
    counts = f"{ran} ran, {reused} reused (about {saved:.0f} s saved), {len(outcome.errors)} failed"
    print(f"\n{counts}; {outcome.seconds:.1f} s")


def _row(record: StepRecord) -> tuple[str, ...]:
    spent = f"{record.seconds:.1f}" if record.decision == "ran" else ""
    registered = ", ".join(record.registered.values())
    return (record.step, record.decision, record.reason, spent, registered, metrics_text(record.metrics))


def metrics_text(metrics: Iterable[dict[str, object]]) -> str:
    """Return the last value of every metric, ``auc 0.741, log_loss 0.52``."""
    latest = {str(item["name"]): item["value"] for item in metrics}
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in latest.items()
    )
