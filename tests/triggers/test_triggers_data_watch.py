"""The trigger behind ``changed_data``: one event for each batch, none lost, none for a touched file."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.sensors import changed_data
from airflow_mlpipe.triggers.data_watch import DataWatch, DataWatchTrigger
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

pytestmark = pytest.mark.airflow

PATH = "azureml://datastores/landing/paths/raw"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "landing" / "raw" / "deep").mkdir(parents=True)
    stores = {"store": {"type": "memory"}, "landing": {"type": "local", "path": "landing"}}
    return workspace_from_mapping({"default_datastore": "store", "datastores": stores}, tmp_path)


def write(workspace: Workspace, text: str, name: str = "deep/a.csv") -> None:
    (workspace.folder / "landing" / "raw" / name).write_text(text)


def looks(workspace: Workspace, number: int, before: str = "", name: str = "flights") -> list[int]:
    """Look, mark what was found, and return the number of files of each batch."""
    found = []
    for _ in range(number):
        watch = DataWatch(workspace, name, PATH)
        look = watch.look(before)
        before = look.digest
        if look.batch is not None:
            found.append(look.batch["files"])
            watch.mark(look.batch)
    return found


def test_a_batch_counts_once_it_is_at_rest_and_only_once(workspace: Workspace) -> None:
    write(workspace, "1")
    first = DataWatch(workspace, "flights", PATH).look("")
    assert first.batch is None
    write(workspace, "1,2")
    assert DataWatch(workspace, "flights", PATH).look(first.digest).batch is None
    write(workspace, "3", "b.csv")
    assert looks(workspace, 5) == [2]
    assert looks(workspace, 5) == []


def test_a_touched_file_is_no_change_and_a_change_deep_below_is_one(workspace: Workspace) -> None:
    write(workspace, "1")
    assert looks(workspace, 3) == [1]
    os.utime(workspace.folder / "landing/raw/deep/a.csv", (1, 1))
    assert looks(workspace, 3) == []
    write(workspace, "2")
    assert looks(workspace, 3) == [1]


def test_a_batch_that_is_not_marked_is_told_again(workspace: Workspace) -> None:
    write(workspace, "1")
    digest = DataWatch(workspace, "flights", PATH).look("").digest
    told = [DataWatch(workspace, "flights", PATH).look(digest).batch for _ in range(2)]
    assert told[0] is not None
    assert told[0] == told[1]


def test_two_dags_have_memories_of_their_own(workspace: Workspace) -> None:
    write(workspace, "1")
    assert looks(workspace, 2, name="one") == [1]
    assert looks(workspace, 2, name="two") == [1]


def test_a_damaged_memory_costs_one_run(workspace: Workspace) -> None:
    write(workspace, "1")
    assert looks(workspace, 2) == [1]
    workspace.datastore().replace("mlpipe/watches/flights.json", b"\xff{")
    assert looks(workspace, 3) == [1]


def test_nothing_there_is_no_batch(workspace: Workspace) -> None:
    assert looks(workspace, 3) == []


def test_an_unknown_datastore_is_named(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="lake"):
        DataWatch(workspace, "flights", "azureml://datastores/lake/paths/raw")


def trigger(project: Any, path: str = PATH) -> DataWatchTrigger:
    return DataWatchTrigger("mlpipe_default", str(project.folder / "dags"), "flights", path, poll_interval=0.05)


async def next_batch(events: AsyncIterator[Any]) -> dict[str, Any]:
    event = await asyncio.wait_for(events.__anext__(), 120)
    return dict(event.payload)


def test_it_survives_serialization_and_goes_on_after_each_event(project: Any) -> None:
    name, arguments = trigger(project).serialize()
    assert name == f"{DataWatchTrigger.__module__}.DataWatchTrigger"
    again = DataWatchTrigger(**json.loads(json.dumps(arguments)))

    async def two() -> list[dict[str, Any]]:
        events = again.run()
        first = await next_batch(events)
        (project.folder / "landing/raw/more.csv").write_text("x")
        return [first, await next_batch(events)]

    first, second = asyncio.run(two())
    assert second["files"] == first["files"] + 1
    assert first["path"] == second["path"] == PATH


def test_a_look_that_fails_is_logged_and_not_the_end(project: Any, capfd: pytest.CaptureFixture[str]) -> None:
    file = project.folder / "dags" / "workspace.yml"
    right = file.read_text()
    file.write_text("datastores: [")

    async def story() -> dict[str, Any]:
        coming = asyncio.ensure_future(next_batch(trigger(project).run()))
        said = ""
        while "cannot be watched" not in said:
            await asyncio.sleep(0.05)
            assert not coming.done()
            said += "".join(capfd.readouterr())
        assert "workspace.yml" in said
        file.write_text(right)
        return await coming

    assert asyncio.run(asyncio.wait_for(story(), 240))["path"] == PATH


def test_the_asset_watches_beside_the_file_that_made_it() -> None:
    asset = changed_data("flights", path=PATH, poll_interval=60)
    assert (asset.name, asset.uri) == ("changes/flights", "mlpipe://changes/flights")
    [watcher] = asset.watchers
    assert watcher.trigger.serialize()[1] == {
        "mlpipe_conn_id": "mlpipe_default",
        "folder": str(Path(__file__).parent),
        "name": "flights",
        "path": PATH,
        "poll_interval": 60,
    }


@pytest.mark.parametrize("path", ["landing/raw", "azureml://datastores/landing/paths/", "https://example.org/x"])
def test_what_is_no_address_is_refused_at_parse(path: str) -> None:
    with pytest.raises(ConfigError, match="no data address"):
        changed_data("flights", path=path)
