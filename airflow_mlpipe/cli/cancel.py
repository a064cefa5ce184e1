"""``mlpipe cancel``: the end of a run in Airflow, with its jobs."""

from __future__ import annotations

import argparse
import json

from airflow_mlpipe.cli.airflow_options import add_airflow_options
from airflow_mlpipe.cli.airflow_runs import open_runs, plain

DESCRIPTION = """\
Mark a run as failed, over Airflow's REST API. Airflow ends its tasks, and these end their jobs, in a few seconds.
A run that has ended already is left alone."""
EXAMPLES = "mlpipe cancel flight_delays mlpipe__2013-05-01T06-00-00-1f0c --url https://airflow.example.com"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("pipeline", metavar="DAG", help="id of the DAG")
    parser.add_argument("run_id", metavar="RUN", help="id of the run")
    parser.add_argument("--json", action="store_true", help="print the run as JSON")
    add_airflow_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Cancel the run; 0 also if it had ended before."""
    with open_runs(arguments) as (runs, url):
        run, cancelled = runs.cancel(arguments.pipeline, arguments.run_id)
    if arguments.json:
        print(json.dumps({**plain(run, url), "cancelled": cancelled}, indent=2))
    elif cancelled:
        print(f"Run {run.run_id} of {run.dag_id} is marked as failed; its tasks and jobs end in a few seconds.")
    else:
        print(f"Run {run.run_id} of {run.dag_id} has ended already: {run.state}. Nothing to cancel.")
    return 0
