"""The sweep as a task: it asks Airflow, and takes only final words for an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_mlpipe.compute.base import JobState
from airflow_mlpipe.execution.hub import status_of
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.operators import OrphanSweepOperator
from airflow_mlpipe.spec.step import Step

pytestmark = pytest.mark.airflow


@pytest.fixture
def job(project: Any) -> Any:
    hook = MLPipeHook(folder=project.folder / "dags")
    ticket = hook.submit(Step(name="a", command="sleep 60"), RunInfo("flights", "r", {}, {}, project.folder))
    assert isinstance(ticket, Ticket)
    yield SimpleNamespace(state=lambda: asyncio.run(status_of(hook.get_workspace().compute(), ticket.handle)).state)
    hook.cancel(ticket.handle, grace=0)


def task(project: Any, **arguments: Any) -> OrphanSweepOperator:
    with project.dag():
        return OrphanSweepOperator(task_id="sweep", grace=0, **arguments)


def context(project: Any, operator: Any, states: dict[str, Any], **params: Any) -> dict[str, Any]:
    found = project.context(operator, params=params)
    found["ti"].get_task_states = lambda dag_id, task_ids, run_ids: states if dag_id == "flights" else {}
    return found


@pytest.mark.parametrize(
    "states",
    [
        {},
        {"r": {}},
        {"r": {"a": None}},
        *({"r": {"a": word}} for word in ("running", "deferred", "up_for_retry", "new")),
    ],
)
def test_a_task_that_is_not_over_or_not_known_keeps_its_job(project: Any, job: Any, states: dict[str, Any]) -> None:
    operator = task(project)
    assert operator.execute(context(project, operator, states)) == {}
    assert job.state() is JobState.RUNNING


@pytest.mark.parametrize("word", ["failed", "success", "skipped", "upstream_failed", "removed"])
def test_a_task_that_is_over_loses_its_job(project: Any, job: Any, word: str, task_log: Callable[[], str]) -> None:
    operator = task(project)
    states = {"r": {"a": word}}
    assert operator.execute(context(project, operator, states, dry_run=True)) == {"would cancel": 1}
    assert job.state() is JobState.RUNNING
    assert operator.execute(context(project, operator, states)) == {"cancelled": 1}
    assert job.state() is JobState.CANCELLED
    assert "its task is over" in task_log()


def test_a_damaged_record_fails_the_task(project: Any, job: Any) -> None:
    for path in (project.folder / "store").rglob("jobs/flights/r/a/*.json"):
        path.write_text("{}")
    operator = task(project)
    with pytest.raises(AirflowException, match="damaged"):
        operator.execute(context(project, operator, {"r": {"a": "failed"}}))
