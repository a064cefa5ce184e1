"""``mlpipe gc``: remove what nobody needs any more."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.execution.choice import format_bytes
from airflow_mlpipe.retention import Item, Policy, Report, collect
from airflow_mlpipe.retention.base import age

DESCRIPTION = """\
Show what nobody needs any more, and with --delete remove it: results that were not used for a while, data of crashed
steps, job folders and records of old runs.

What is registered as a dataset or model, pinned, used by a run that goes on or by one of the last runs always stays.
A result is first made unfindable; its data go by a later call, once the grace is over. Safe while pipelines run."""
EXAMPLES = """\
mlpipe gc                                 what would go, and why
mlpipe gc --older-than 14d --delete       do it
mlpipe gc --keep-last 0 --json            for scripts"""
_WORDS = {"retire": "unfindable", "delete": "delete", "restore": "restore", "wait": "waiting"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--older-than", default="30d", metavar="AGE", help="not used for so long: 30d (default), 12h")
    parser.add_argument(
        "--keep-last", type=int, default=10, metavar="N", help="keep the outputs of the last N runs of each pipeline"
    )
    parser.add_argument(
        "--keep-runs", type=int, default=1000, metavar="N", help="keep the records of the last N runs of each pipeline"
    )
    parser.add_argument(
        "--grace", default="24h", metavar="AGE", help="keep data so long after nobody can find them any more"
    )
    parser.add_argument("--delete", action="store_true", help="do it; without this nothing is changed")
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Collect; 1 if something could not be removed."""
    policy = Policy(
        age(arguments.older_than, "--older-than"),
        arguments.keep_last,
        arguments.keep_runs,
        age(arguments.grace, "--grace"),
    )
    report = collect(open_workspace(arguments, Path.cwd()), policy, arguments.delete)
    if arguments.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        _show(report)
    return 1 if report.problems else 0


def _show(report: Report) -> None:
    from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

    if report.items:
        print_table(("what", "action", "name", "bytes", "why", "data go"), [_row(item) for item in report.items])
    for text in report.spared:
        print(f"left alone: {text}")
    for text in report.problems:
        print(f"not done: {text}")
    print(summary(report))


def _row(item: Item) -> tuple[str, ...]:
    size = "" if item.size is None else format_bytes(item.size)
    due = "" if item.due is None else f"{item.due:%Y-%m-%d %H:%M} UTC"
    return (item.kind, _WORDS[item.action], item.name, size, item.why, due)


def summary(report: Report) -> str:
    """Return the report in one sentence or two."""
    if not report.items:
        return f"Nothing to collect; {report.kept} attempts are needed."
    later = report.freed("retire") + report.freed("wait")
    done = "Freed" if report.deleted else "Would free"
    rest = f", {format_bytes(later)} once the grace is over" if later else ""
    advice = "" if report.deleted else " Nothing was changed; repeat with --delete to do it."
    return f"{done} {format_bytes(report.freed())} now{rest}; {report.kept} attempts are needed.{advice}"
