"""``mlpipe runs``: the runs that a workspace remembers, and the steps of one."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from airflow_mlpipe.cli.airflow_options import add_airflow_options
from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.frozen import plain
from airflow_mlpipe.tracking.base import RunRecord
from airflow_mlpipe.workspace import Workspace

DESCRIPTION = """\
List the runs of a pipeline: when, with which parameters, what ran and what was reused.
With --airflow or --url, the runs that an Airflow knows, the latest first, whether they have records or not."""
EXAMPLES = """\
mlpipe runs flight_delays
mlpipe runs flight_delays --experiment nightly
mlpipe runs flight_delays --airflow --limit 5"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("pipeline", metavar="PIPELINE", nargs="?", help="name of the pipeline; default: all pipelines")
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )
    parser.add_argument("--experiment", metavar="NAME", help="only runs that were triggered for this experiment")
    parser.add_argument("--json", action="store_true", help="print the runs as JSON")
    parser.add_argument("--airflow", action="store_true", help="ask the Airflow that the options below name")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="with --airflow: so many runs; default 20")
    add_airflow_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the runs; 0 even if there are none yet."""
    if arguments.airflow or arguments.url is not None:
        from airflow_mlpipe.cli import airflow_runs  # noqa: PLC0415 - httpx is slow to import

        return airflow_runs.show(arguments)
    workspace = open_workspace(arguments, Path.cwd())
    known = workspace.runs.pipelines()
    if arguments.pipeline is not None and arguments.pipeline not in known:
        raise ParameterError(
            f"Workspace {workspace.name!r} has no runs of {arguments.pipeline!r}. "
            f"It has runs of: {', '.join(known) or 'nothing'}."
        )
    names = known if arguments.pipeline is None else [arguments.pipeline]
    found = [record for name in names for record in workspace.runs.runs(name)]
    if arguments.experiment is not None:
        found = [record for record in found if record.labels.experiment == arguments.experiment]
    if arguments.json:
        print(json.dumps([plain(record) for record in found], indent=2))
    elif found:
        from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

        print_table(
            ("pipeline", "steps", "run", "started", "experiment", "parameters"),
            [_row(workspace, record) for record in found],
        )
    else:
        print("No runs yet. Start one with: mlpipe run PIPELINE")
    return 0


def _row(workspace: Workspace, record: RunRecord) -> tuple[str, ...]:
    counts = Counter(step.decision for step in workspace.runs.steps(record.pipeline, record.run_id))
    steps = ", ".join(f"{number} {word}" for word, number in sorted(counts.items()))
    parameters = ", ".join(f"{name}={value}" for name, value in record.parameters.items())
    started = f"{record.started:%Y-%m-%d %H:%M}"
    return (record.pipeline, steps, record.run_id, started, record.labels.experiment, parameters)
