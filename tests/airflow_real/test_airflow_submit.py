"""Azure ML's call, made by curl as a calling system makes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.airflow

SUBMIT = "/mlpipe/PipelineRuns/PipelineSubmit"
Curl = Callable[..., tuple[int, Any]]


def test_azures_body_starts_one_run_for_one_id(airflow: Any, curl: Curl) -> None:
    body = {
        "ExperimentName": "curl",
        "ParameterAssignments": {"rate": "0.25", "text": "curl"},
        "RunSource": "API",
        "tags": {"team": "blue"},
    }
    status, answer = curl(f"{SUBMIT}/flow?runId=curl-1&parentRunId=parent-7", body)
    assert (status, answer["Id"], answer["Created"], answer["DagId"]) == (200, "curl-1", True, "flow")
    status, again = curl(f"{SUBMIT}/flow?runId=curl-1&parentRunId=parent-7", body)
    assert (status, again["Id"], again["Created"]) == (200, "curl-1", False)
    assert airflow.api.wait_run("flow", "curl-1") == "success"
    assert len([run for run in airflow.api.runs("flow") if run["dag_run_id"] == "curl-1"]) == 1

    status, run = curl(answer["StatusUrl"])
    assert (status, run["state"], run["triggered_by"]) == (200, "success", "rest_api")
    record = airflow.workspace.runs.read_run("flow", "curl-1")
    assert record.parameters == {"rate": 0.25, "text": "curl"}
    assert (record.labels.experiment, record.labels.source, record.labels.parent_run_id) == ("curl", "API", "parent-7")
    assert record.labels.tags == {"team": "blue"}

    status, answer = curl(f"{SUBMIT}/flow?runId=curl-1", {**body, "ParameterAssignments": {"rate": "0.5"}})
    assert (status, answer["error"]["details"][0]["target"]) == (409, "runId")


def test_the_body_of_a_batch_endpoint_starts_a_run(airflow: Any, curl: Curl) -> None:
    raw = {"JobInputType": "UriFolder", "Uri": "azureml://datastores/landing/paths/raw"}
    rate = {"JobInputType": "Literal", "Value": "0.75"}
    body = {"properties": {"InputData": {"raw": raw, "rate": rate}}}
    status, answer = curl(f"{SUBMIT}/flow?runId=batch-1", body)
    assert (status, answer["Id"], answer["Created"]) == (200, "batch-1", True)
    assert curl(f"{SUBMIT}/flow?runId=batch-1", body)[1]["Created"] is False
    assert airflow.api.wait_run("flow", "batch-1") == "success"
    record = airflow.workspace.runs.read_run("flow", "batch-1")
    assert record.parameters == {"rate": 0.75, "text": "x", "raw": raw["Uri"]}


@pytest.mark.parametrize(
    ("body", "target", "words"),
    [
        ({"ParameterAssignments": {"rate": "5"}}, "ParameterAssignments.rate", "5.0 is greater than the maximum of 1"),
        ({"ParameterAssignments": {"rate": "fast"}}, "ParameterAssignments.rate", "is not of type 'number'"),
        ({"ParameterAssignments": {"rat": "0.5"}}, "ParameterAssignments.rat", "Did you mean 'rate'?"),
        ({"ParameterAssignment": {}}, "ParameterAssignment", "Did you mean 'ParameterAssignments'?"),
        ({"tags": ["a"]}, "tags", "must be an object"),
        ({"DataPathAssignments": {"text": {}}}, "DataPathAssignments.text", "no data input 'text'"),
        ({"DataPathAssignments": {"raw": {}}}, "DataPathAssignments.raw", "DataStoreName"),
        ({"raw": "/etc"}, "ParameterAssignments.raw", "does not match '^azureml:'"),
        (
            {"properties": {"InputData": {"rate": {"JobInputType": "Literal", "Value": 5}}}},
            "properties.InputData.rate",
            "5 is greater than the maximum of 1",
        ),
        ('{"ParameterAssignments": {"rate": NaN}}', "", "NaN is no number of JSON"),
        ("[" * 100_000, "", "not JSON"),
    ],
)
def test_a_wrong_value_gets_400_with_its_field(body: Any, target: str, words: str, airflow: Any, curl: Curl) -> None:
    before = len(airflow.api.runs("flow"))
    status, answer = curl(f"{SUBMIT}/flow", body)
    [detail] = answer["error"]["details"]
    assert (status, detail["target"]) == (400, target)
    assert words in detail["message"]
    assert len(airflow.api.runs("flow")) == before


def test_data_paths_are_assigned(airflow: Any, curl: Curl) -> None:
    folder = Path(airflow.project.folder) / "landing" / "other"
    folder.mkdir()
    (folder / "b.csv").write_text("7")
    body = {"DataPathAssignments": {"raw": {"DataStoreName": "landing", "RelativePath": "other"}}}
    status, answer = curl(f"{SUBMIT}/flow?runId=data-1", body)
    assert (status, answer["Created"]) == (200, True)
    assert airflow.api.wait_run("flow", "data-1") == "success"
    address = "azureml://datastores/landing/paths/other"
    assert airflow.workspace.runs.read_run("flow", "data-1").parameters["raw"] == address
    assert airflow.workspace.runs.read_step("flow", "data-1", "prepare").inputs["raw"] == address


def test_other_refusals(curl: Curl) -> None:
    assert curl(f"{SUBMIT}/floww", {})[0] == 404
    assert curl(f"{SUBMIT}/flow", "{}", kind="text/plain")[0] == 415
    status, answer = curl(f"{SUBMIT}/flow?runId=scheduled__1", {})
    assert (status, answer["error"]["details"][0]["target"]) == (400, "runId")
    assert curl(f"{SUBMIT}/flow", '"' + "x" * (1 << 20) + '"')[0] == 413


def test_a_login_and_the_dags_permission_are_needed(airflow: Any, curl: Curl) -> None:
    before = len(airflow.api.runs("flow"))
    good, bad = {"ParameterAssignments": {"rate": "0.5"}}, {"rat": 1}
    for body in (good, bad):
        assert curl(f"{SUBMIT}/flow", body, user=None)[0] == 401
        assert curl(f"{SUBMIT}/flow", body, user="vera")[0] == 403
        assert curl(f"{SUBMIT}/nothing", body, user="vera")[0] == 403
    assert len(airflow.api.runs("flow")) == before


ROUTES = """
from types import SimpleNamespace
from airflow.api_fastapi.core_api.security import get_user
from airflow_mlpipe.plugins.submit import create_app
app = create_app(SimpleNamespace(state=SimpleNamespace(auth_manager=None)))
for route in app.routes:
    print(get_user in {need.call for need in route.dependant.dependencies}, route.path)
"""


def test_every_route_is_closed_and_undescribed(airflow: Any) -> None:
    done = subprocess.run([sys.executable, "-c", ROUTES], capture_output=True, text=True, check=True)
    routes = [line for line in done.stdout.splitlines() if "/PipelineRuns/" in line]
    assert routes
    assert all(line.startswith("True ") for line in routes)
    assert "False" not in done.stdout
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert httpx.get(f"{airflow.server.url}/mlpipe{path}", trust_env=False, timeout=60).status_code == 404


def test_airflow_has_loaded_the_plugin(airflow: Any) -> None:
    names = [plugin["name"] for plugin in airflow.api.call("GET", "/plugins")["plugins"]]
    assert names.count("airflow_mlpipe") == 1
    errors = [item["error"] for item in airflow.api.call("GET", "/plugins/importErrors")["import_errors"]]
    # A checkout has its metadata twice, and Airflow then takes the first.
    assert [error for error in errors if "already registered" not in error] == []
