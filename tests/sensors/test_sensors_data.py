"""The sensor in its three ways of waiting."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.sensors import DataChangedSensor
from airflow_mlpipe.triggers.data import DataChangedTrigger

pytestmark = pytest.mark.airflow

PATH = "azureml://datastores/landing/paths/raw"


def sensor(project: Any, **arguments: Any) -> DataChangedSensor:
    with project.dag():
        return DataChangedSensor(**{"task_id": "new", "path": PATH, "poke_interval": 0.1, **arguments})


def test_it_defers_until_the_data_is_at_rest(project: Any) -> None:
    task = sensor(project, timeout=100)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(project.context(task))
    assert deferred.value.timeout.total_seconds() == 100  # type: ignore[union-attr]
    name, arguments = deferred.value.trigger.serialize()
    assert name == "airflow_mlpipe.triggers.data.DataChangedTrigger"
    again = DataChangedTrigger(**json.loads(json.dumps(arguments)))

    async def events() -> list[Any]:
        return [event.payload async for event in again.run()]

    [batch] = asyncio.run(events())
    assert task.execute_complete(project.context(task), event=batch) == batch
    assert (batch["files"], batch["path"]) == (1, PATH)
    assert task.execute(project.context(task)) == batch


def test_an_event_of_another_run_is_not_ours(project: Any) -> None:
    task = sensor(project)
    with pytest.raises(TaskDeferred):
        task.execute_complete(project.context(task), event={"run_id": "run-2", "digest": "x"})


def test_it_waits_in_the_worker(project: Any) -> None:
    task = sensor(project, deferrable=False)
    batch = task.execute(project.context(task))
    assert batch["files"] == 1


def test_each_look_stands_alone_for_reschedule_mode(project: Any) -> None:
    task = sensor(project, deferrable=False, mode="reschedule")
    context = project.context(task)
    assert [task.poke(context).is_done, task.poke(context).is_done] == [False, True]
    other = project.context(task, run_id="run-2")
    assert [task.poke(other).is_done, task.poke(other).is_done] == [False, False]


def test_a_wrong_address_is_an_import_error(project: Any) -> None:
    with pytest.raises(ConfigError, match="no data address"):
        sensor(project, path="raw")


def test_an_unknown_datastore_is_not_retried(project: Any) -> None:
    task = sensor(project, path="azureml://datastores/landin/paths/raw")
    with pytest.raises(AirflowFailException, match="Did you mean 'landing'"):
        task.execute(project.context(task))


def test_a_trigger_that_cannot_look_fails_the_task(project: Any) -> None:
    task = sensor(project)
    arguments = {
        "mlpipe_conn_id": "nowhere",
        "folder": "/",
        "watcher": {"dag_id": "d", "task_id": "t", "run_id": "run-1"},
    }

    async def events() -> list[Any]:
        return [event.payload async for event in DataChangedTrigger(path=PATH, **arguments).run()]

    [event] = asyncio.run(events())
    with pytest.raises(AirflowException, match="no Airflow connection 'nowhere'"):
        task.execute_complete(project.context(task), event=event)
