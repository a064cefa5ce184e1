"""``mlpipe trigger``: a run in Airflow, over its REST API."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_mlpipe.airflow_rest.runs import AirflowRun, AirflowRuns, DagFacts
from airflow_mlpipe.airflow_rest.watching import follow
from airflow_mlpipe.cli.airflow_options import add_airflow_options
from airflow_mlpipe.cli.airflow_runs import open_runs, page, plain
from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.execution.run_request import ASSIGNMENTS, did_you_mean, new_run_id, plain_conf, typed

DESCRIPTION = """\
Start a run of a DAG in Airflow. Wrong names and values are refused before anything runs.
The same --run-id twice is one run: the second call says so, and follows it with --wait.
--conf takes plain parameters or the body of Azure ML's REST API (ParameterAssignments, ExperimentName, tags, ...).
Exit code 0: started, or with --wait ended well; 1: the run failed; 2: refused."""
EXAMPLES = """\
mlpipe trigger flight_delays --param learning_rate=0.2 --wait
mlpipe trigger flight_delays --conf body.json --run-id nightly-2013-05-01
mlpipe trigger churn --endpoint --param rate=0.2
mlpipe trigger flight_delays --url https://airflow.example.com --token-file token"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("pipeline", metavar="DAG", help="id of the DAG, usually the pipeline's name; or the endpoint")
    parser.add_argument("--endpoint", action="store_true", help="DAG is the name of an endpoint")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="value of a parameter; may be repeated"
    )
    parser.add_argument("--conf", metavar="FILE", help="JSON file with the conf of the run; - for standard input")
    parser.add_argument(
        "--run-id", metavar="ID", help="id of the run; the same id twice is one run; default: a new one"
    )
    parser.add_argument("--wait", action="store_true", help="follow the run to its end")
    parser.add_argument("--poll", type=float, default=5.0, metavar="SECONDS", help="between two looks; default 5")
    parser.add_argument("--json", action="store_true", help="print the run as JSON, at its end with --wait")
    add_airflow_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Start the run, or find the one with this id; 1 only if it was waited for and failed."""
    given = _read_conf(arguments.conf)
    run_id = arguments.run_id or new_run_id()
    with open_runs(arguments) as (runs, url):
        if arguments.endpoint:
            started, is_new = runs.submit(arguments.pipeline, _assigned(given, arguments.param), run_id)
            dag = runs.dag(started.dag_id)
        else:
            dag = runs.dag(arguments.pipeline)
            conf = plain_conf({**given, **_parameters(arguments.param, dag)}, dag.schemas)
            started, is_new = runs.trigger(dag.dag_id, conf, run_id)
        say = _quiet if arguments.json else _say
        _tell_start(started, is_new, dag, url, say)
        ended = _follow(runs, started, say, arguments.poll) if arguments.wait else started
    if arguments.json:
        print(json.dumps({**plain(ended, url), "created": is_new}, indent=2))
    elif arguments.wait:
        print(f"Run {ended.run_id}: {ended.state}.")
    return 1 if arguments.wait and ended.state != "success" else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _quiet(_: str) -> None:
    return


def _tell_start(run: AirflowRun, is_new: bool, dag: DagFacts, url: str, say: Any) -> None:
    if is_new:
        say(f"Run {run.run_id} of {run.dag_id} is {run.state}: {page(run, url)}")
    else:
        say(f"Run {run.run_id} of {run.dag_id} was there already, with the same parameters; it is {run.state}.")
    if dag.is_paused and not run.has_ended:
        print(
            f"The DAG {dag.dag_id} is paused: the run waits until it is switched on in the UI, or by "
            f"'airflow dags unpause'.",
            file=sys.stderr,
        )


def _follow(runs: AirflowRuns, run: AirflowRun, say: Any, poll: float) -> AirflowRun:
    try:
        return follow(runs, run, say, max(poll, 0.1))
    except KeyboardInterrupt:
        print(f"The run goes on. To end it: mlpipe cancel {run.dag_id} {run.run_id}", file=sys.stderr)
        raise


def _read_conf(name: str | None) -> Mapping[str, Any]:
    if name is None:
        return {}
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        conf = json.loads(text)
    except OSError as error:
        raise ParameterError(f"--conf {name} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"--conf {name} is not JSON: {error}.") from None
    if not isinstance(conf, dict):
        raise ParameterError(f'--conf {name} must hold an object, such as {{"learning_rate": 0.2}}.')
    return conf


def _parameters(given: list[str], dag: DagFacts) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in map(_split, given):
        if name not in dag.schemas:
            raise ParameterError(
                f"--param {name}: the DAG {dag.dag_id} has no such parameter.{did_you_mean(name, dag.schemas)}"
            )
        values[name] = typed(value, dag.schemas[name])
    return values


def _assigned(body: Mapping[str, Any], given: list[str]) -> dict[str, Any]:
    """Return Azure's body with further assignments; which DAG runs, and its parameters, only the endpoint knows."""
    there = body.get(ASSIGNMENTS)
    if not given or not isinstance(there, dict | None):
        return dict(body)
    return {**body, ASSIGNMENTS: {**(there or {}), **dict(map(_split, given))}}


def _split(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ParameterError(f"--param {text!r} is not understood. Write --param NAME=VALUE.")
    return name, value
