"""``mlpipe runs``: the runs that a workspace remembers, and the steps of one."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.tracking.base import RunRecord
from airflow_mlpipe.workspace import Workspace

DESCRIPTION = "List the runs of a pipeline: when, with which parameters, what ran and what was reused."
EXAMPLES = "mlpipe runs flight_delays"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("pipeline", metavar="PIPELINE", nargs="?", help="name of the pipeline; default: all pipelines")
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )
    parser.add_argument("--json", action="store_true", help="print the runs as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the runs; 0 even if there are none yet."""
    workspace = open_workspace(arguments, Path.cwd())
    known = workspace.runs.pipelines()
    if arguments.pipeline is not None and arguments.pipeline not in known:
        raise ParameterError(
            f"Workspace {workspace.name!r} has no runs of {arguments.pipeline!r}. "
            f"It has runs of: {', '.join(known) or 'nothing'}."
        )
    names = known if arguments.pipeline is None else [arguments.pipeline]
    found = [record for name in names for record in workspace.runs.runs(name)]
    if arguments.json:
        print(json.dumps([json.loads(record.model_dump_json()) for record in found], indent=2))
    elif found:
        from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

        print_table(
            ("pipeline", "steps", "run", "started", "parameters"), [_row(workspace, record) for record in found]
        )
    else:
        print("No runs yet. Start one with: mlpipe run PIPELINE")
    return 0


def _row(workspace: Workspace, record: RunRecord) -> tuple[str, ...]:
    counts = Counter(step.decision for step in workspace.runs.steps(record.pipeline, record.run_id))
    steps = ", ".join(f"{number} {word}" for word, number in sorted(counts.items()))
    parameters = ", ".join(f"{name}={value}" for name, value in record.parameters.items())
    return (record.pipeline, steps, record.run_id, f"{record.started:%Y-%m-%d %H:%M}", parameters)
