"""A small workspace on real rooms: local or memory store, inline or local target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

DATES = {"data_interval_start": "2013-02-01T00:00:00+00:00", "ds": "2013-02-01", "run_id": "r1"}


def make_workspace(
    folder: Path, store: str = "local", target: str = "inline", azurite: AzuriteServer | None = None
) -> Workspace:
    """Return a workspace of the given kinds under a folder."""
    stores: dict[str, Any] = {"local": {"type": "local", "path": "store"}, "memory": {"type": "memory"}}
    if azurite:
        stores["azurite"] = azurite.settings(azurite.make_container(), azurite.credential)
    targets = {"inline": {"type": "inline"}, "local": {"type": "local", "workdir": "jobs"}}
    settings = {
        "datastores": {"workspaceblobstore": stores[store], "landing": {"type": "local", "path": "landing"}},
        "compute": {"local": targets[target]},
    }
    (folder / "landing").mkdir(exist_ok=True)
    return workspace_from_mapping(settings, folder)


@pytest.fixture(params=["local", "memory", "azurite"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """A workspace whose jobs run inline, on each kind of store."""
    azurite = request.getfixturevalue("azurite") if request.param == "azurite" else None
    return make_workspace(tmp_path, request.param, azurite=azurite)


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., RunInfo]:
    """Makes runs of one pipeline."""

    def make(run_id: str = "r1", parameters: dict[str, Any] | None = None, **more: Any) -> RunInfo:
        fields = {**DATES, "run_id": run_id}
        return RunInfo("demo", run_id, parameters or {}, more.pop("fields", fields), tmp_path, **more)

    return make


def command_step(name: str = "train", command: str = "echo hi > ${{outputs.model}}/m.txt", **more: Any) -> Step:
    """A command step with one output, ``model``."""
    values: dict[str, Any] = {"outputs": {"model": {"type": "custom_model"}}, **more}
    return checked(Step, {"name": name, "command": command, **values})
