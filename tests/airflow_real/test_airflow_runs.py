"""Whole runs through the real scheduler."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.airflow_real.conftest import HOSTILE

pytestmark = pytest.mark.airflow


def test_reuse_clear_and_modes(airflow: Any) -> None:
    """One story, because each part needs the one before."""
    assert airflow.run("flow", "first") == "success"
    assert airflow.api.task_states("flow", "first") == {"plan": "success", "prepare": "success", "train": "success"}
    started = len(airflow.project.submissions())

    assert airflow.run("flow", "second") == "success"
    reused = {"plan": "success", "prepare": "skipped", "train": "skipped"}
    assert airflow.api.task_states("flow", "second") == reused
    assert "identical to run first" in airflow.api.task_log("flow", "second", "plan")
    assert len(airflow.project.submissions()) == started

    airflow.api.clear("flow", "second", ["prepare"])
    assert airflow.api.wait_run("flow", "second") == "success"
    assert airflow.api.task_states("flow", "second") == {**reused, "prepare": "success"}
    assert "cleared by a person" in airflow.api.task_log("flow", "second", "prepare")
    assert len(airflow.project.submissions()) == started + 1

    assert airflow.run("flow", "changed", {"rate": 0.2}) == "success"
    assert airflow.api.task_states("flow", "changed") == {**reused, "train": "success"}

    assert airflow.run("flow", "forced", {"reuse": "force"}) == "success"
    assert set(airflow.api.task_states("flow", "forced").values()) == {"success"}

    assert airflow.run("flow", "step-forced", {"reuse_steps": {"train": "disable"}}) == "success"
    assert airflow.api.task_states("flow", "step-forced") == {**reused, "train": "success"}


def test_texts_arrive_as_the_same_characters(airflow: Any) -> None:
    assert airflow.run("flow", "hostile", {"text": HOSTILE}) == "success"
    folder = airflow.place("flow", "hostile", "train")
    assert (folder / "copy").read_text() == HOSTILE
    assert (folder / "env").read_text() == HOSTILE + "\n"
    assert list(Path(airflow.project.folder).rglob("x")) == []


def test_wrong_values_and_unknown_keys_are_refused(airflow: Any) -> None:
    body = {"logical_date": None, "conf": {"rate": 5}}
    answer = airflow.api.request("POST", "/dags/flow/dagRuns", body)
    assert answer.status_code == 400
    assert "5 is greater than the maximum of 1" in answer.text

    assert airflow.run("flow", "typo", {"rat": 0.2}) == "failed"
    states = airflow.api.task_states("flow", "typo")
    assert states == {"plan": "failed", "prepare": "upstream_failed", "train": "upstream_failed"}
    assert "unknown parameter 'rat'. Did you mean 'rate'?" in airflow.api.task_log("flow", "typo", "plan")


def test_a_failed_step_speaks_the_scripts_words(airflow: Any) -> None:
    assert airflow.run("failing", "once") == "failed"
    log = airflow.api.task_log("failing", "once", "broken")
    assert "no such column: carrier" in log
    assert "exit code 7" in log
    ours = [line for line in log.splitlines() if "airflow_mlpipe" in line and " in " in line]
    assert len(ours) == 1
    mistaken = airflow.api.wait_task("failing", "once", "mistaken")
    assert (mistaken["state"], mistaken["try_number"]) == ("failed", 1)
    assert "has no compute target 'gpu'" in airflow.api.task_log("failing", "once", "mistaken")


def test_each_batch_of_data_lets_one_run_go_on(airflow: Any) -> None:
    folder = Path(airflow.project.folder) / "landing" / "new"
    folder.mkdir()
    (folder / "a.csv").write_text("1")
    assert airflow.run("watching", "first") == "success"
    assert airflow.api.xcom("watching", "first", "new")["files"] == 1
    airflow.api.trigger("watching", {}, "second")
    airflow.api.wait_task("watching", "second", "new", ["deferred"])
    (folder / "b.csv").write_text("2")
    assert airflow.api.wait_run("watching", "second") == "success"
    assert airflow.api.xcom("watching", "second", "new")["files"] == 2


def test_the_connection_form_and_test(airflow: Any) -> None:
    connection = {
        "connection_id": "trial",
        "conn_type": "mlpipe",
        "extra": json.dumps({"workspace": json.dumps(airflow.project.workspace)}),
    }
    answer = airflow.api.call("POST", "/connections/test", connection)
    assert answer["status"], answer
    assert "'workspaceblobstore' can be written and read" in answer["message"]
    connection["extra"] = json.dumps({"workspace": "nam: x"})
    answer = airflow.api.call("POST", "/connections/test", connection)
    assert not answer["status"]
    assert "Did you mean 'name'" in answer["message"]


def test_airflow_lists_the_provider(airflow: Any) -> None:
    command = airflow.server._command("providers", "list", "-o", "json")
    listed = subprocess.run(command, env=airflow.server.environment, capture_output=True, text=True, check=True).stdout
    [ours] = [entry for entry in json.loads(listed[listed.index("[{") :]) if entry["package_name"] == "airflow-mlpipe"]
    assert ours["description"].startswith("Azure ML pipelines on any Apache Airflow")
