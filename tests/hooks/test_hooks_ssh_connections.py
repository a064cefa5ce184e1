"""An Airflow connection of type ssh behind a compute target: a job runs with it, and nothing of it is shown."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.compute.base import JobSpec, JobState
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.testing.jobs import unique_key, wait_for
from airflow_mlpipe.testing.slurm import SlurmCluster
from airflow_mlpipe.testing.sshd import SSHServer

pytestmark = pytest.mark.airflow
MakeHook = Callable[..., MLPipeHook]


@pytest.fixture
def hook_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sshd: SSHServer) -> Iterator[MakeHook]:
    """Return a function that makes a connection of type ssh and a workspace with a target that names it."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))

    def make(settings: dict[str, Any] | None = None, **connection: Any) -> MLPipeHook:
        far = {"type": "sftp", "conn_id": "my_box", "path": str(tmp_path / "far-data")}
        box = {"type": "ssh", "conn_id": "my_box", "workdir": str(tmp_path / "far"), **(settings or {})}
        workspace = {"default_compute": "box", "compute": {"box": box}, "datastores": {"far": far}}
        mlpipe = {"conn_type": "mlpipe", "extra": {"workspace": workspace}}
        monkeypatch.setenv("AIRFLOW_CONN_MLPIPE_DEFAULT", json.dumps(mlpipe))
        told = {"conn_type": "ssh", "host": "127.0.0.1", "port": sshd.port, "login": sshd.settings["user"]}
        monkeypatch.setenv("AIRFLOW_CONN_MY_BOX", json.dumps({**told, **connection}))
        return MLPipeHook()

    yield make
    from airflow_mlpipe.compute.ssh.host import close_hosts

    close_hosts()


def host_key(sshd: SSHServer) -> str:
    return " ".join((sshd.folder / "host_key.pub").read_text().split()[:2])


def extras(sshd: SSHServer) -> list[dict[str, Any]]:
    return [
        {"key_file": str(sshd.key_file), "host_key": host_key(sshd)},
        {"private_key": sshd.key_file.read_text(), "host_key": host_key(sshd), "no_host_key_check": False},
    ]


@pytest.mark.parametrize("number", [0, 1])
def test_a_job_runs_with_what_the_connection_says(hook_with: MakeHook, sshd: SSHServer, number: int) -> None:
    hook = hook_with(extra=extras(sshd)[number])
    workspace = hook.get_workspace()

    async def case() -> None:
        again = await hook.aget_workspace()
        assert again.compute("box").endpoint == workspace.compute("box").endpoint
        handle = await workspace.compute("box").submit(JobSpec("true"), unique_key())
        assert (await wait_for(again.compute("box"), handle)).state is JobState.SUCCEEDED

    asyncio.run(case())
    assert "PRIVATE KEY" not in repr(workspace.config)
    assert "PRIVATE KEY" not in repr(vars(workspace.compute("box").place))  # type: ignore[attr-defined]


def test_a_datastore_and_a_cluster_take_the_same(
    hook_with: MakeHook, sshd: SSHServer, slurm: SlurmCluster, tmp_path: Path
) -> None:
    hook = hook_with(
        {"type": "slurm", "conf": str(slurm.conf), "python": sys.executable}, extra=extras(sshd)[1], conn_type="sftp"
    )
    workspace = hook.get_workspace()
    workspace.datastore("far").replace("k", b"x")
    assert (tmp_path / "far-data" / "k").read_bytes() == b"x"

    async def case() -> None:
        handle = await workspace.compute("box").submit(JobSpec("true"), unique_key())
        assert (await wait_for(workspace.compute("box"), handle)).state is JobState.SUCCEEDED

    asyncio.run(case())


def test_a_host_is_not_believed_because_airflow_would(hook_with: MakeHook, sshd: SSHServer, tmp_path: Path) -> None:
    (tmp_path / "nobody").touch()
    hook = hook_with(
        {"known_hosts": str(tmp_path / "nobody")}, extra={"key_file": str(sshd.key_file), "no_host_key_check": True}
    )
    with pytest.raises(ConfigError, match="host key"):
        asyncio.run(hook.get_workspace().compute("box").find("mlp-x"))


@pytest.mark.parametrize(
    ("settings", "connection", "words"),
    [
        ({}, {"conn_type": "http"}, "has the type 'http'.*'ssh'"),
        ({}, {"host": ""}, "names no host"),
        ({"host": "elsewhere"}, {}, "remove 'host', the connection 'my_box' says it"),
        ({"key_file": "x"}, {}, "remove 'key_file'"),
    ],
)
def test_what_a_connection_cannot_say_is_one_sentence(
    hook_with: MakeHook, settings: dict[str, Any], connection: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        hook_with(settings, **connection).get_workspace()
