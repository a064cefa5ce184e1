"""The runs of an Airflow as tables, lines and JSON; what ``trigger``, ``cancel`` and ``runs`` show."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from airflow_mlpipe.airflow_rest.client import AirflowClient
from airflow_mlpipe.airflow_rest.runs import AirflowRun, AirflowRuns
from airflow_mlpipe.cli.airflow_options import login_of


@contextmanager
def open_runs(arguments: argparse.Namespace) -> Iterator[tuple[AirflowRuns, str]]:
    """Log in and yield the runs of the Airflow, and its address."""
    with AirflowClient(login_of(arguments)) as client:
        yield AirflowRuns(client), client.url


def show(arguments: argparse.Namespace) -> int:
    """Print the latest runs of a DAG, or of all."""
    with open_runs(arguments) as (runs, url):
        if arguments.pipeline is not None:
            runs.dag(arguments.pipeline)
        found = runs.recent(arguments.pipeline, arguments.limit)
    if arguments.experiment is not None:
        found = [run for run in found if run.conf.get("ExperimentName") == arguments.experiment]
    if arguments.json:
        print(json.dumps([plain(run, url) for run in found], indent=2))
    elif found:
        from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

        print_table(("dag", "state", "run", "started", "ended", "conf"), [_row(run) for run in found])
    else:
        print("No runs yet. Start one with: mlpipe trigger DAG")
    return 0


def plain(run: AirflowRun, url: str) -> dict[str, object]:
    """Return a run as plain values for JSON."""
    times = {"started": run.started or None, "ended": run.ended or None}
    conf = dict(run.conf)
    return {
        "dag_id": run.dag_id, "run_id": run.run_id, "state": run.state, **times, "conf": conf, "url": page(run, url)
    }  # fmt: skip


def page(run: AirflowRun, url: str) -> str:
    """Return the address of a run in Airflow's UI."""
    return f"{url}/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"


def _row(run: AirflowRun) -> tuple[str, ...]:
    conf = json.dumps(dict(run.conf)) if run.conf else ""
    return (run.dag_id, run.state, run.run_id, run.started[:19], run.ended[:19], conf)
