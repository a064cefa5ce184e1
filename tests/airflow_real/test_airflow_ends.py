"""However a step is ended, its job is gone with all its processes; and jobs that nobody could end are swept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_mlpipe.workspace import Workspace, workspace_from_mapping
from benchmarks.ends import EVENTS, SITUATIONS, Case
from benchmarks.soak_ends import end_some

pytestmark = pytest.mark.airflow


@pytest.fixture
def workspace(airflow: Any) -> Workspace:
    return workspace_from_mapping(airflow.project.workspace, airflow.project.folder)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_stubborn_job_ends_however_its_step_is_ended(situation: str, airflow: Any, workspace: Workspace) -> None:
    cases = [Case(airflow.api, workspace, situation, event, f"{situation}-{event}") for event in EVENTS]
    end_some(cases, patience=90)
    for case in cases:
        assert case.outcome in ("cancelled", "failed"), case


def test_a_job_whose_task_was_ended_while_nobody_could_cancel_it_is_swept_and_a_living_one_is_not(
    airflow: Any, workspace: Workspace, wait_until: Callable[..., Any]
) -> None:
    (workspace.folder / "jobs" / "answers").touch()
    orphan = Case(airflow.api, workspace, "deferred", "failed", "orphan")
    living = Case(airflow.api, workspace, "running", "failed", "living")
    for case in (orphan, living):
        case.begin()
        case.wait_begun()
    airflow.server.kill_component("triggerer")
    orphan.end()
    assert airflow.run("sweeping", "sweep-1") == "success"
    assert airflow.api.xcom("sweeping", "sweep-1", "sweep") == {"cancelled": 1}
    assert "its task is over" in airflow.api.task_log("sweeping", "sweep-1", "sweep")
    orphan.wait_gone(90)
    assert airflow.run("sweeping", "sweep-2") == "success"
    assert airflow.api.xcom("sweeping", "sweep-2", "sweep") == {}
    [job] = workspace.runs.jobs(living.dag_id, "living", "long")
    assert job.ended is None
    airflow.server.start_component("triggerer")
    living.end()
    living.wait_gone(90)
