"""From connections to workspaces."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.spec.step import OutputData, Step

pytestmark = pytest.mark.airflow


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes a connection, as an operator of Airflow does by environment variable."""

    def make(extra: Any, conn_id: str = "mlpipe_default", conn_type: str = "mlpipe") -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": conn_type, "extra": extra}))

    return make


YAML_TEXT = "name: from-text\ndatastores: {workspaceblobstore: {type: local, path: store}}\n"


@pytest.mark.parametrize(
    "workspace",
    [YAML_TEXT, '{"name": "from-text"}', {"name": "from-text"}],
)
def test_a_workspace_is_read_from_text_or_keys(
    connect: Any, workspace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    connect({"workspace": workspace})
    found = MLPipeHook().get_workspace()
    assert (found.name, found.folder) == ("from-text", tmp_path)
    assert asyncio.run(MLPipeHook().aget_workspace()).name == "from-text"


def test_a_workspace_file_is_read(connect: Any, project: Any) -> None:
    connect({"workspace_file": str(project.folder / "dags" / "workspace.yml"), "workspace": None}, "other")
    found = MLPipeHook("other").get_workspace()
    assert (found.name, found.folder) == ("test", project.folder / "dags")


def test_without_the_default_connection_the_nearest_file_counts(project: Any) -> None:
    assert MLPipeHook(folder=project.folder / "dags" / "src").get_workspace().name == "test"
    assert asyncio.run(MLPipeHook(folder=project.folder / "dags").aget_workspace()).name == "test"


def test_a_named_connection_must_exist(project: Any) -> None:
    hook = MLPipeHook("nowhere", project.folder / "dags")
    for get in (hook.get_workspace, lambda: asyncio.run(hook.aget_workspace())):
        with pytest.raises(ConfigError, match="no Airflow connection 'nowhere'"):
            get()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({}, "it has neither"),
        ({"workspace": "name: a", "workspace_file": "b"}, "it has both"),
        ({"workspce": "name: a"}, "unknown key 'workspce'.*Did you mean 'workspace'"),
        ({"workspace": "- a\n- b"}, "must hold keys and values"),
        ({"workspace": "a: [b"}, "is not valid YAML"),
        ({"workspace": "!!python/object:os.system x"}, "is not valid YAML"),
        ({"workspace": "nam: a"}, "unknown key 'nam'. Did you mean 'name'"),
        ({"workspace_file": "/nowhere/workspace.yml"}, "/nowhere/workspace.yml cannot be read"),
    ],
)
def test_a_wrong_connection_says_what_is_wrong(connect: Any, extra: Any, message: str) -> None:
    connect(extra)
    with pytest.raises(ConfigError, match=message):
        MLPipeHook().get_workspace()
    worked, text = MLPipeHook().test_connection()
    assert not worked
    assert text


def test_another_connection_type_is_refused(connect: Any) -> None:
    connect({"workspace": "name: a"}, conn_type="http")
    with pytest.raises(ConfigError, match="has the type 'http'; needed is 'mlpipe'"):
        MLPipeHook().get_workspace()


def test_the_connection_test_writes_and_leaves_nothing(connect: Any, project: Any) -> None:
    connect({"workspace": project.workspace})
    worked, text = MLPipeHook().test_connection()
    assert worked, text
    assert "'workspaceblobstore' can be written and read. Compute targets: local." in text
    assert [path for path in (project.folder / "store").rglob("*") if path.is_file()] == []
    assert project.submissions() == []


def test_the_connection_test_needs_the_connection() -> None:
    worked, text = MLPipeHook().test_connection()
    assert not worked
    assert "mlpipe_default" in text


def test_a_store_that_cannot_be_written_fails_the_test(connect: Any, project: Any) -> None:
    (project.folder / "store").write_text("a file, not a folder")
    connect({"workspace": project.workspace})
    worked, text = MLPipeHook().test_connection()
    assert not worked
    assert str(project.folder / "store") in text


def test_one_line_verbs(project: Any, wait_until: Any) -> None:
    hook = MLPipeHook(folder=project.folder / "dags")
    step = Step(name="a", command="echo hello; sleep 60", outputs={"o": OutputData()})
    run = RunInfo("p", "r", {}, {}, project.folder)
    assert hook.find_reusable(step, run).decision == "run"
    ticket = hook.submit(step, run)
    assert isinstance(ticket, Ticket)
    try:
        wait_until(lambda: b"hello" in hook.logs(ticket.handle).data)
        assert not hook.status(ticket.handle).state.is_terminal
    finally:
        hook.cancel(ticket.handle, grace=0)
    wait_until(lambda: hook.status(ticket.handle).state.is_terminal)
