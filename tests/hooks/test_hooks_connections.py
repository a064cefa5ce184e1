"""Airflow connections behind datastores and compute targets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.compute.ray.target import RayTarget
from airflow_mlpipe.datastores.azure_blob.settings import read_settings
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.testing.azurite import AzuriteServer

pytestmark = pytest.mark.airflow
SECRET = "c2VjcmV0LWtleS1vZi10aGUtYWNjb3VudA=="
URL = "https://acct.blob.core.windows.net"
SAS = "sv=2026-06-06&sp=rwdl&sig=abc%2Fdef%3D"


@pytest.fixture
def workspace_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that makes a wasb connection and a workspace that uses it."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))

    def make(settings: dict[str, Any] | None = None, **connection: Any) -> MLPipeHook:
        blob = {"type": "azure_blob", "container": "mlpipe", "conn_id": "my_wasb", **(settings or {})}
        workspace = {"default_datastore": "blob", "datastores": {"blob": blob}}
        monkeypatch.setenv(
            "AIRFLOW_CONN_MLPIPE_DEFAULT", json.dumps({"conn_type": "mlpipe", "extra": {"workspace": workspace}})
        )
        if connection:
            monkeypatch.setenv("AIRFLOW_CONN_MY_WASB", json.dumps({"conn_type": "wasb", **connection}))
        return MLPipeHook()

    return make


@pytest.mark.parametrize(
    ("connection", "url", "kind"),
    [
        ({"login": "acct", "password": SECRET}, URL, "account_key"),
        ({"host": "acct.blob.core.windows.net", "password": SECRET}, URL, "account_key"),
        ({"login": "acct", "extra": {"sas_token": SAS}}, URL, "sas_token"),
        ({"login": "acct", "extra": {"extra__wasb__sas_token": f"https://a?{SAS}"}}, "", "sas_token"),
        ({"extra": {"connection_string": f"AccountName=acct;AccountKey={SECRET}"}}, "", "connection_string"),
        ({"login": "acct", "extra": {"shared_access_key": SECRET}}, "", "account_key"),
        ({"host": URL, "login": "app", "password": "pw", "extra": {"tenant_id": "t"}},
         URL, "client_secret"),
        ({"login": "acct", "extra": {"managed_identity_client_id": "m"}}, "", "managed_identity"),
        ({"login": "acct", "extra": {"workload_identity_tenant_id": "t"}}, "", "workload_identity"),
        ({"login": "acct"}, "", "default"),
    ],
)  # fmt: skip
def test_every_form_of_a_wasb_connection(
    workspace_with: Any, connection: dict[str, Any], url: str, kind: str, tmp_path: Path
) -> None:
    hook = workspace_with(**connection)
    for workspace in (hook.get_workspace(), asyncio.run(hook.aget_workspace())):
        settings = read_settings("blob", workspace.config.datastores["blob"], tmp_path)
        assert settings.credential.kind == kind
        assert not url or settings.account_url == url
        shown = repr(workspace.config) + str(settings) + repr(workspace.datastore())
        assert SECRET not in shown
        assert "sig=" not in shown
    if kind == "sas_token":
        assert settings.credential.secret
        assert settings.credential.secret.reveal() == SAS


def test_a_connection_must_be_there_and_fit(workspace_with: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = workspace_with()
    for get in (hook.get_workspace, lambda: asyncio.run(hook.aget_workspace())):
        with pytest.raises(ConfigError, match="connections my_wasb, and not all of them exist"):
            get()
    with pytest.raises(ConfigError, match="names no account"):
        workspace_with(password=SECRET).get_workspace()
    with pytest.raises(ConfigError, match="remove 'credential'"):
        workspace_with({"credential": "default"}, login="acct").get_workspace()
    monkeypatch.setenv("AIRFLOW_CONN_MY_WASB", json.dumps({"conn_type": "http"}))
    with pytest.raises(ConfigError, match="has the type 'http'"):
        workspace_with().get_workspace()


def test_the_test_button_reaches_the_container(workspace_with: Any, azurite: AzuriteServer) -> None:
    hook = workspace_with(
        {"container": azurite.make_container(), "retries": 0}, host=azurite.account_url, password=azurite.key
    )
    assert hook.test_connection() == (
        True,
        "Workspace 'local': datastore 'blob' can be written and read. Compute targets: local.",
    )
    worked, said = workspace_with(
        {"container": "missing", "retries": 0}, host=azurite.account_url, password=azurite.key
    ).test_connection()
    assert not worked
    assert "the container does not exist" in said
    assert azurite.key not in said


@pytest.mark.parametrize(
    ("connection", "address"),
    [
        ({"host": "ray.example", "schema": "https", "port": 8265}, "https://ray.example:8265"),
        ({"host": "http://127.0.0.1", "port": 8265}, "http://127.0.0.1:8265"),
        ({"host": "https://ray.example"}, "https://ray.example"),
    ],
)
def test_a_ray_cluster_takes_address_and_token_from_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any], address: str
) -> None:
    cluster = {"type": "ray", "workdir": "jobs", "conn_id": "my_ray"}
    extra = {"workspace": {"compute": {"cluster": cluster}}}
    said = {"conn_type": "http", "password": "the-token", **connection}
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_MLPIPE_DEFAULT", json.dumps({"conn_type": "mlpipe", "extra": extra}))
    monkeypatch.setenv("AIRFLOW_CONN_MY_RAY", json.dumps(said))
    target = MLPipeHook().get_workspace().compute("cluster")
    assert isinstance(target, RayTarget)
    assert target.settings.address == address
    assert target.settings.token is not None
    assert target.settings.token.reveal() == "the-token"
    monkeypatch.setenv("AIRFLOW_CONN_MY_RAY", json.dumps({**said, "conn_type": "wasb"}))
    with pytest.raises(ConfigError, match="needs 'http'"):
        MLPipeHook().get_workspace()
