"""One run for each batch of changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.triggers.changes import DataChanges, Watcher, split_address
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

PATH = "azureml://datastores/landing/paths/raw"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "landing" / "raw").mkdir(parents=True)
    stores = {"store": {"type": "memory"}, "landing": {"type": "local", "path": "landing"}}
    return workspace_from_mapping({"default_datastore": "store", "datastores": stores}, tmp_path)


def sensor(workspace: Workspace, run_id: str, task_id: str = "s") -> DataChanges:
    return DataChanges(workspace, Watcher("d", task_id, run_id), PATH)


def write(workspace: Workspace, text: str, name: str = "a.csv") -> None:
    (workspace.folder / "landing" / "raw" / name).write_text(text)


def taken(workspace: Workspace, run_id: str, looks: int = 3) -> bool:
    return any(sensor(workspace, run_id).look() is not None for _ in range(looks))


def test_a_batch_must_come_to_rest(workspace: Workspace) -> None:
    write(workspace, "1")
    assert sensor(workspace, "r1").look() is None
    write(workspace, "1,2")
    assert sensor(workspace, "r1").look() is None
    batch = sensor(workspace, "r1").look()
    assert batch is not None
    assert (batch["files"], batch["size"], batch["path"], batch["run_id"]) == (1, 3, PATH, "r1")


def test_each_batch_makes_one_run(workspace: Workspace) -> None:
    write(workspace, "1")
    assert taken(workspace, "r1")
    assert not taken(workspace, "r2")
    write(workspace, "2")
    assert taken(workspace, "r2")
    assert not taken(workspace, "r3")
    assert not taken(workspace, "r4")


def test_a_touched_file_is_no_change(workspace: Workspace) -> None:
    write(workspace, "1")
    assert taken(workspace, "r1")
    write(workspace, "1")
    assert not taken(workspace, "r2")


def test_a_change_back_is_a_change(workspace: Workspace) -> None:
    for number, text in enumerate(["1", "2", "1"]):
        write(workspace, text)
        assert taken(workspace, f"r{number}")


def test_a_run_keeps_its_batch_when_it_is_retried_or_cleared(workspace: Workspace) -> None:
    write(workspace, "1")
    assert taken(workspace, "r1")
    write(workspace, "2")
    assert taken(workspace, "r2")
    again = sensor(workspace, "r1").look()
    assert again is not None
    assert again["size"] == 1


def test_two_sensors_do_not_know_each_other(workspace: Workspace) -> None:
    write(workspace, "1")
    assert taken(workspace, "r1")
    other = sensor(workspace, "r1", task_id="other")
    assert [other.look() is not None for _ in range(2)] == [False, True]


def test_nothing_there_is_no_change(workspace: Workspace) -> None:
    (workspace.folder / "landing" / "raw").rmdir()
    assert not taken(workspace, "r1")


def test_a_damaged_record_counts_as_absent(workspace: Workspace) -> None:
    write(workspace, "1")
    assert taken(workspace, "r1")
    store = workspace.datastore()
    for key in list(store.keys("mlpipe/sensors/")):
        store.replace(key, b"{")
    assert taken(workspace, "r2")


@given(events=st.lists(st.sampled_from(["write", "r1", "r2", "r3", "r4"]), max_size=40))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_batch_is_taken_twice(tmp_path_factory: pytest.TempPathFactory, events: list[str]) -> None:
    folder = tmp_path_factory.mktemp("law")
    (folder / "landing" / "raw").mkdir(parents=True)
    stores = {"store": {"type": "memory"}, "landing": {"type": "local", "path": "landing"}}
    workspace = workspace_from_mapping({"default_datastore": "store", "datastores": stores}, folder)
    batches: dict[str, Any] = {}
    for number, event in enumerate(events):
        if event == "write":
            write(workspace, str(number))
        else:
            batch = sensor(workspace, event).look()
            assert event not in batches or batch == batches[event]
            if batch is not None:
                batches[event] = batch
    digests = [batch["digest"] for batch in batches.values()]
    assert len(digests) == len(set(digests))


@pytest.mark.parametrize(
    "path", ["raw", "azureml://datastores/landing", "azureml://datastores//paths/x", "azureml:x@latest"]
)
def test_other_addresses_are_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="is no data address"):
        split_address(path)
