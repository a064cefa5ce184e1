"""A pipeline that waits for a registered dataset, through the real scheduler."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = pytest.mark.airflow


def runs(airflow: Any, dag_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = airflow.api.request("GET", f"/dags/{dag_id}/dagRuns").json()["dag_runs"]
    return found


def wait_for_runs(airflow: Any, dag_id: str, number: int, seconds: float = 120.0) -> list[dict[str, Any]]:
    """Return the runs of a DAG once there are so many and all have ended."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        found = runs(airflow, dag_id)
        if len(found) >= number and all(run["state"] in ("success", "failed") for run in found):
            return found
        time.sleep(0.5)
    raise TimeoutError(f"{dag_id} has {len(runs(airflow, dag_id))} runs, not {number}.")


def test_a_new_version_starts_the_pipeline_that_waits_for_it(airflow: Any) -> None:
    """One story, because each part needs the one before."""
    assert airflow.run("making", "one", {"text": "first"}) == "success"
    [run] = wait_for_runs(airflow, "taking", 1)
    assert (run["state"], run["run_type"]) == ("success", "asset_triggered")
    assert (airflow.place("taking", run["dag_run_id"], "take") / "copy").read_text() == "first\n"

    assert airflow.run("making", "same", {"text": "first"}) == "success"
    assert airflow.api.task_states("making", "same") == {"plan": "success", "make": "skipped"}
    assert airflow.run("making", "two", {"text": "second"}) == "success"
    found = wait_for_runs(airflow, "taking", 2)
    copies = {(airflow.place("taking", run["dag_run_id"], "take") / "copy").read_text() for run in found}
    assert (len(found), copies) == (2, {"first\n", "second\n"})
