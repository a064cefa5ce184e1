"""A published pipeline behind an endpoint: the version is switched, the caller changes nothing.

The tests are one story: each goes on from the one before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.airflow_real.conftest import Curl, Mlpipe

pytestmark = pytest.mark.airflow

PIPELINE = """
type: pipeline
name: greeter
inputs:
  name: {type: string, default: nobody}
jobs:
  greet:
    type: command
    code: ./scripts
    command: sh greet.sh ${{inputs.name}} ${{outputs.o}}
    inputs: {name: "${{parent.inputs.name}}"}
    outputs: {o: {type: uri_folder}}
"""
URL = "/mlpipe/PipelineRuns/PipelineEndpointSubmit/Id/greetings"


@pytest.fixture
def publish(airflow: Any, mlpipe: Mlpipe) -> Any:
    """Return a function that publishes the pipeline with a greeting, switches its DAG on and returns what was said."""
    folder = Path(airflow.project.folder) / "greeter"
    (folder / "scripts").mkdir(parents=True, exist_ok=True)
    (folder / "pipeline.yml").write_text(PIPELINE)

    def call(greeting: str) -> dict[str, Any]:
        (folder / "scripts" / "greet.sh").write_text(f'echo "{greeting} $1" > "$2/text"\n')
        words = ("publish", str(folder / "pipeline.yml"), "-o", str(airflow.server.dags_folder), "--json")
        code, out, err = mlpipe(*words, *workspace(airflow))
        assert (code, err) == (0, "")
        said: dict[str, Any] = json.loads(out)
        airflow.api.wait_dag(said["dag_id"])
        airflow.api.unpause(said["dag_id"])
        return said

    return call


def workspace(airflow: Any) -> tuple[str, str]:
    return "--workspace", str(Path(airflow.server.dags_folder) / "workspace.yml")


def greeting(airflow: Any, answer: dict[str, Any]) -> str:
    assert airflow.api.wait_run(answer["DagId"], answer["Id"]) == "success"
    return (airflow.place(answer["DagId"], answer["Id"], "greet") / "text").read_text().strip()


@pytest.fixture
def endpoints(airflow: Any, mlpipe: Mlpipe) -> Callable[..., str]:
    def call(*words: str) -> str:
        code, out, err = mlpipe("endpoints", *words, *workspace(airflow))
        assert (code, err) == (0, "")
        return out

    return call


BODY = {"ParameterAssignments": {"name": "Ada"}, "ExperimentName": "switch"}


def test_the_default_is_switched_without_a_change_for_the_caller(
    airflow: Any, curl: Curl, publish: Any, endpoints: Callable[..., str]
) -> None:
    assert publish("hello")["dag_id"] == "greeter__v1"
    endpoints("create", "greetings", "--pipeline", "greeter:1")
    status, first = curl(f"{URL}?runId=one", BODY)
    assert (status, first["PipelineVersion"], first["DagId"], first["Created"]) == (200, "0", "greeter__v1", True)
    assert greeting(airflow, first) == "hello Ada"

    assert publish("good morning")["version"] == "2"
    assert publish("good morning")["created"] is False
    endpoints("add", "greetings", "--pipeline", "greeter:2")
    status, still = curl(f"{URL}?runId=two", BODY)
    assert (status, still["DagId"]) == (200, "greeter__v1")
    assert "default 1 = greeter__v2" in endpoints("set-default", "greetings", "1")

    status, second = curl(f"{URL}?runId=three", BODY)
    assert (status, second["PipelineVersion"], second["DagId"]) == (200, "1", "greeter__v2")
    assert greeting(airflow, second) == "good morning Ada"
    status, again = curl(f"{URL}?runId=one", BODY)
    assert (status, again["DagId"], again["Created"]) == (200, "greeter__v1", False)
    status, older = curl(f"{URL}?runId=four&pipelineVersion=0", BODY)
    assert (status, older["DagId"]) == (200, "greeter__v1")
    assert airflow.api.import_errors() == {}


def test_the_command_line_calls_an_endpoint(mlpipe: Mlpipe) -> None:
    words = ("trigger", "greetings", "--endpoint", "--param", "name=Bob", "--run-id", "cli", "--wait", "--json")
    code, out, err = mlpipe(*words, "--poll", "0.2")
    assert (code, err) == (0, "")
    assert (json.loads(out)["dag_id"], json.loads(out)["state"]) == ("greeter__v2", "success")
    code, _, err = mlpipe("trigger", "greetings", "--endpoint", "--param", "nme=Bob")
    assert code == 2
    assert "ParameterAssignments.nme: unknown parameter 'nme'. Did you mean 'name'?" in err


def test_wrong_calls_of_an_endpoint_and_strangers(curl: Curl, endpoints: Callable[..., str]) -> None:
    status, answer = curl(URL, {"ParameterAssignments": {"nme": "x"}})
    assert (status, answer["error"]["details"][0]["target"]) == (400, "ParameterAssignments.nme")
    assert curl(f"{URL}?pipelineVersion=9", BODY)[0] == 404
    assert curl(f"{URL}?pipelineVersion=-1", BODY)[0] == 400
    assert curl(URL + "s", BODY)[0] == 404
    for path in (URL, URL + "s", f"{URL}?pipelineVersion=9"):
        assert curl(path, BODY, user=None)[0] == 401
        assert curl(path, BODY, user="vera")[0] == 403

    endpoints("disable", "greetings")
    status, answer = curl(URL, BODY)
    assert (status, answer["error"]["details"][0]["target"]) == (409, "endpoint")
    endpoints("enable", "greetings")
    assert curl(f"{URL}?runId=three", BODY)[1]["Created"] is False
