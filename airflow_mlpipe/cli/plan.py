"""``mlpipe plan``: what would be reused or run, and why. Changes nothing."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence

from airflow_mlpipe.cli.run_options import add_run_options, open_run
from airflow_mlpipe.execution.planner import StepPlan, plan

DESCRIPTION = "Show what a run would reuse or run, and why. Changes nothing."
EXAMPLES = "mlpipe plan pipeline.yml --param learning_rate=0.2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan; 0 if it could be made."""
    spec, workspace, info = open_run(arguments)
    plans = plan(workspace, spec.steps, info)
    if arguments.json:
        print(json.dumps([_plain(item) for item in plans], indent=2))
    else:
        _print_table(plans)
    return 0


def _plain(item: StepPlan) -> dict[str, object]:
    return {
        "step": item.step.name,
        "decision": item.decision,
        "why": item.reason,
        "seconds_saved": round(item.saved, 3),
    }


def _print_table(plans: Sequence[StepPlan]) -> None:
    from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

    print_table(("step", "decision", "why"), [(item.step.name, item.decision, item.reason) for item in plans])
    print(summary(plans))


def summary(plans: Sequence[StepPlan]) -> str:
    """Return the last line: how many steps are reused, run, or decided later."""
    counts = Counter(item.decision for item in plans)
    saved = sum(item.saved for item in plans)
    pieces = []
    if counts["reuse"]:
        pieces.append(f"{counts['reuse']} reused (about {saved:.0f} s saved)")
    if counts["run"]:
        pieces.append(f"{counts['run']} to run")
    if counts["skip"]:
        pieces.append(f"{counts['skip']} left out by a condition")
    if counts["later"]:
        pieces.append(f"{counts['later']} decided when their inputs exist")
    return ", ".join(pieces) or "The pipeline has no steps."
