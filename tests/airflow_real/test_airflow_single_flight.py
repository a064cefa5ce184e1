"""Two runs that need the same step at the same time, in the real Airflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

RUNS = ("share-1", "share-2")


def test_two_runs_at_once_make_one_job_and_the_waiter_holds_no_worker(
    airflow: Any, wait_until: Callable[[Callable[[], object]], Any]
) -> None:
    before = len(airflow.project.submissions())
    for run_id in RUNS:
        airflow.api.trigger("deferred", {"n": 40, "key": "shared"}, run_id)
    for run_id in RUNS:
        airflow.api.wait_task("deferred", run_id, "long", ["deferred"])

    def waiting() -> list[str]:
        return [run_id for run_id in RUNS if "waiting for run" in airflow.api.task_log("deferred", run_id, "long")]

    [waiter] = wait_until(waiting)
    [holder] = set(RUNS) - {waiter}
    assert len(airflow.project.submissions()) == before + 1
    assert [airflow.api.wait_run("deferred", run_id) for run_id in RUNS] == ["success", "success"]
    log = airflow.api.task_log("deferred", waiter, "long")
    assert f"waiting for run {holder} of deferred (step long), which computes the same step" in log
    assert f"reuse: identical to run {holder}" in log
    assert airflow.api.xcom("deferred", waiter, "long") == airflow.api.xcom("deferred", holder, "long")
    assert len(airflow.project.submissions()) == before + 1


def test_a_waiter_marked_failed_leaves_the_holder_alone(
    airflow: Any, wait_until: Callable[[Callable[[], object]], Any]
) -> None:
    before = len(airflow.project.submissions())
    airflow.api.trigger("deferred", {"n": 30, "key": "left"}, "left-holder")
    airflow.api.wait_task("deferred", "left-holder", "long", ["deferred"])
    airflow.api.trigger("deferred", {"n": 30, "key": "left"}, "left-waiter")
    airflow.api.wait_task("deferred", "left-waiter", "long", ["deferred"])
    airflow.api.set_task_state("deferred", "left-waiter", "long", "failed")
    assert airflow.api.wait_run("deferred", "left-waiter") == "failed"
    assert airflow.api.wait_run("deferred", "left-holder") == "success"
    assert len(airflow.project.submissions()) == before + 1
