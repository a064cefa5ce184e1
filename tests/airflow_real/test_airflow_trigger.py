"""Runs started, followed and cancelled from outside, by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.testing.http_proxy import LOSE, REFUSE, Asked, HttpProxy, Reply

pytestmark = pytest.mark.airflow

Mlpipe = Callable[..., tuple[int, str, str]]


def test_a_run_is_triggered_followed_and_found_again(airflow: Any, mlpipe: Mlpipe) -> None:
    words = ("trigger", "flow", "--param", "rate=0.5", "--param", "text=cli", "--run-id", "cli-1", "--wait")
    code, out, err = mlpipe(*words, "--poll", "0.2")
    assert (code, err) == (0, "")
    assert "Run cli-1 of flow is queued: http://127.0.0.1" in out
    assert "train    success" in out
    assert "Run cli-1: success." in out
    assert airflow.api.run("flow", "cli-1")["conf"] == {"rate": 0.5, "text": "cli"}

    code, out, err = mlpipe(*words)
    assert (code, err) == (0, "")
    assert "Run cli-1 of flow was there already, with the same parameters; it is success." in out
    assert len([run for run in airflow.api.runs("flow") if run["dag_run_id"] == "cli-1"]) == 1

    code, out, err = mlpipe("trigger", "flow", "--param", "rate=0.6", "--run-id", "cli-1")
    assert code == 2
    assert "exists with other parameters (rate: 0.5 there, 0.6 here; text: 'cli' there, None here)" in err

    code, out, _ = mlpipe("runs", "flow", "--airflow", "--json")
    listed = {run["run_id"]: run for run in json.loads(out)}
    assert code == 0
    assert listed["cli-1"]["state"] == "success"
    assert listed["cli-1"]["url"].startswith(airflow.server.url)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--param", "rate=5"), "rate: 5.0 is greater than the maximum of 1."),
        (("--param", "rate=fast"), "rate: 'fast' is not of type 'number'."),
        (("--param", "rat=0.1"), "--param rat: the DAG flow has no such parameter. Did you mean 'rate'?"),
        (("--run-id", "scheduled__x"), "scheduled"),
    ],
)
def test_wrong_values_are_refused_in_one_sentence(words: tuple[str, ...], said: str, mlpipe: Mlpipe) -> None:
    code, out, err = mlpipe("trigger", "flow", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1


def test_azures_body_as_conf(airflow: Any, mlpipe: Mlpipe, tmp_path: Path) -> None:
    body = {
        "ExperimentName": "nightly",
        "ParameterAssignments": {"rate": "0.7", "text": "azure"},
        "tags": {"team": "blue"},
        "RunSource": "SDK",
    }
    path = tmp_path / "body.json"
    path.write_text(json.dumps(body))
    code, out, err = mlpipe("trigger", "flow", "--conf", str(path), "--wait", "--json", "--poll", "0.2")
    assert (code, err) == (0, "")
    run = json.loads(out)
    assert (run["state"], run["created"]) == ("success", True)
    [record] = [record for record in airflow.workspace.runs.runs("flow") if record.run_id == run["run_id"]]
    assert record.parameters == {"rate": 0.7, "text": "azure"}
    assert (record.labels.experiment, record.labels.source) == ("nightly", "SDK")
    assert record.labels.tags == {"team": "blue"}

    body["ParameterAssignments"] = {"rat": "0.7"}
    path.write_text(json.dumps(body))
    code, _, err = mlpipe("trigger", "flow", "--conf", str(path))
    assert code == 2
    assert "ParameterAssignments.rat: unknown parameter 'rat'. Did you mean 'rate'?" in err


def test_the_plan_task_is_the_net_under_a_conf_that_airflow_lets_pass(airflow: Any) -> None:
    assert airflow.run("flow", "net-good", {"ParameterAssignments": {"rate": "0.3"}}) == "success"
    record = airflow.workspace.runs.read_run("flow", "net-good")
    assert record.parameters["rate"] == 0.3
    assert airflow.run("flow", "net-bad", {"ParameterAssignments": {"rate": "3"}}) == "failed"
    log = airflow.api.task_log("flow", "net-bad", "plan")
    assert "ParameterAssignments.rate: 3.0 is greater than the maximum of 1" in log


def test_cancel_ends_the_run_and_its_job(airflow: Any, mlpipe: Mlpipe, wait_until: Callable[..., Any]) -> None:
    import time

    since = time.time()
    code, _, _ = mlpipe("trigger", "held", "--param", "key=cancel", "--run-id", "cancel-1")
    assert code == 0
    processes = wait_until(lambda: airflow.processes(since))
    code, out, _ = mlpipe("cancel", "held", "cancel-1")
    assert code == 0
    assert "Run cancel-1 of held is marked as failed" in out
    wait_until(lambda: not any(path.exists() for path in processes))
    code, out, _ = mlpipe("cancel", "held", "cancel-1")
    assert (code, out.strip()) == (0, "Run cancel-1 of held has ended already: failed. Nothing to cancel.")


def test_strangers_are_told_what_is_missing(mlpipe: Mlpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPIPE_AIRFLOW_PASSWORD", "guessed")
    code, _, err = mlpipe("trigger", "flow")
    assert code == 2
    assert "User or password is wrong." in err
    assert "guessed" not in err
    monkeypatch.delenv("MLPIPE_AIRFLOW_USER")
    code, _, err = mlpipe("trigger", "flow")
    assert code == 2
    assert "--token-file FILE" in err


def test_an_unknown_dag_and_an_absent_server(mlpipe: Mlpipe) -> None:
    code, _, err = mlpipe("trigger", "floww")
    assert code == 2
    assert "floww" in err
    code, _, err = mlpipe("runs", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert "cannot be reached" in err


@pytest.fixture
def network(airflow: Any, mlpipe: Mlpipe, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpProxy]:
    """A network between the command and the Airflow."""
    with HttpProxy(airflow.server.url) as proxy:
        monkeypatch.setenv("MLPIPE_AIRFLOW_URL", proxy.address)
        yield proxy


class Once:
    """A fault that happens to the first calls of a method whose path ends so."""

    def __init__(self, method: str, end: str, faults: list[Any]) -> None:
        self._method, self._end, self._faults = method, end, faults

    def __call__(self, asked: Asked) -> Any:
        if self._faults and asked.method == self._method and asked.path.partition("?")[0].endswith(self._end):
            return self._faults.pop(0)
        return None


@pytest.mark.parametrize("fault", [LOSE, REFUSE, Reply(502, b"bad gateway")], ids=["lost", "refused", "gateway"])
def test_a_lost_answer_makes_no_second_run(fault: Any, airflow: Any, mlpipe: Mlpipe, network: HttpProxy) -> None:
    before = len(airflow.api.runs("flow"))
    network.rule = Once("POST", "/dagRuns", [fault])
    code, out, err = mlpipe("trigger", "flow", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["run_id"] in {run["dag_run_id"] for run in airflow.api.runs("flow")}
    assert len(airflow.api.runs("flow")) == before + 1
    assert len([path for path in network.asked("POST") if path.endswith("/dagRuns")]) == 2
    assert airflow.api.wait_run("flow", json.loads(out)["run_id"]) == "success"


def test_following_outlives_an_api_that_is_away(mlpipe: Mlpipe, network: HttpProxy) -> None:
    away = Reply(503, b"{}", {"Content-Type": "application/json"})
    network.rule = Once("GET", "/taskInstances", [REFUSE, away, away, REFUSE])
    code, out, err = mlpipe("trigger", "flow", "--wait", "--poll", "0.2")
    assert (code, err) == (0, "")
    assert "success." in out


def test_what_is_no_airflow_is_named(mlpipe: Mlpipe, network: HttpProxy) -> None:
    network.rule = lambda asked: Reply(200, b"<html>") if asked.method == "GET" else None
    code, _, err = mlpipe("trigger", "flow")
    assert code == 1
    assert "is it the address of an Airflow API server?" in err
    network.rule = Once("POST", "/greetings", [Reply(405, b'{"detail": "Method Not Allowed"}')])
    code, _, err = mlpipe("trigger", "greetings", "--endpoint")
    assert code == 1
    assert "has not loaded the plugin of airflow-mlpipe" in err
