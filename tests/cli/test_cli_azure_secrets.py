"""The whole life of a pipeline on Azure Blob, and no secret anywhere afterwards."""

from __future__ import annotations

import datetime
import json
import logging
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from azure.storage.blob import AccountSasPermissions, ContainerClient, ResourceTypes, generate_account_sas

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.testing.azure_tokens import FakeCredential
from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.testing.leaks import forms, leaks
from airflow_mlpipe.workspace import load_workspace

PIPELINE = """
type: pipeline
name: demo
jobs:
  prepare:
    type: command
    command: env > ${{outputs.out}}/environment.txt; ls -la > ${{outputs.out}}/files.txt
    outputs: {out: {type: uri_folder, name: environments}}
  train:
    type: command
    command: cp ${{inputs.data}}/files.txt ${{outputs.model}}/ && echo "from ${{inputs.data}}"
    inputs: {data: "${{parent.jobs.prepare.outputs.out}}"}
    outputs: {model: {type: custom_model, name: demo-model}}
"""
FAILING = """
type: pipeline
name: failing
jobs:
  fail: {type: command, command: "env; exit 3"}
"""


@pytest.fixture(scope="module")
def secure_azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzuriteServer]:
    """An Azurite with https that takes tokens."""
    program = Path(__file__).resolve().parents[2] / ".azurite"
    with AzuriteServer(tmp_path_factory.mktemp("https"), https=True, oauth=True, program=program) as server:
        yield server


def account_sas(server: AzuriteServer, hours: int = 1) -> str:
    return generate_account_sas(
        server.account,
        server.key,
        resource_types=ResourceTypes(service=True, container=True, object=True),
        permission=AccountSasPermissions(read=True, write=True, delete=True, list=True, add=True, create=True),
        expiry=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours),
    )


@pytest.fixture(params=["account_key", "connection_string", "sas_token", "sas_file", "token"])
def case(
    request: pytest.FixtureRequest, secure_azurite: AzuriteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, Callable[[], list[str]], AzuriteServer]:
    """Give a credential as a setting, what then must be seen nowhere, and the server."""
    server = secure_azurite
    sas = account_sas(server)
    signature = sas.partition("sig=")[2].partition("&")[0]
    texts = {"account_key": server.key, "connection_string": server.connection_string, "sas_token": sas}
    if request.param in texts:
        monkeypatch.setenv("BLOB_SECRET", texts[request.param])
        secrets = [signature, unquote(signature)] if request.param == "sas_token" else [server.key]
        return {request.param: {"env": "BLOB_SECRET"}}, lambda: secrets, server
    if request.param == "sas_file":
        place = tmp_path.parent / f"{tmp_path.name}-secret"
        place.write_text(f"?{sas}\n")
        return {"sas_token": {"file": str(place)}}, lambda: [signature, unquote(signature)], server
    given: list[FakeCredential] = []

    def default(**options: Any) -> FakeCredential:
        given.append(FakeCredential(**options))
        return given[-1]

    monkeypatch.setattr("azure.identity.DefaultAzureCredential", default)
    return "default", lambda: [token for credential in given for token in credential.tokens], server


def test_no_secret_is_left_anywhere(
    case: tuple[Any, Callable[[], list[str]], AzuriteServer],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    credential, secrets, server = case
    container = server.make_container()
    settings = server.settings(container, credential)
    (tmp_path / "workspace.yml").write_text(
        json.dumps({"default_datastore": "blob", "datastores": {"blob": settings}, "scratch": "scratch"})
    )
    for name, text in (("pipeline", PIPELINE), ("failing", FAILING)):
        (tmp_path / f"{name}.yml").write_text(text)
    monkeypatch.chdir(tmp_path)
    seen = []
    with caplog.at_level(logging.DEBUG):
        assert main(["run", "pipeline.yml", "--date", "2013-02-01"]) == 0
        assert main(["run", "pipeline.yml", "--date", "2013-02-01"]) == 0
        assert main(["run", "failing.yml", "--date", "2013-02-01"]) == 1
        assert main(["generate", "pipeline.yml", "-o", "dags"]) == 0
        assert main(["runs", "demo"]) == 0
        seen.extend(forced_errors(tmp_path, settings))
    said = capfd.readouterr()
    assert "2 ran, 0 reused" in said.out
    assert "0 ran, 2 reused" in said.out
    seen += [said.out, said.err, caplog.text, "\n".join(repr(record.__dict__) for record in caplog.records)]
    seen += [path.read_bytes().decode("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file()]
    seen += everything_in(server, container)
    needles = {form for secret in secrets() for form in forms(secret)}
    assert len(needles) >= 4
    assert len(seen) > 25
    assert [needle for needle in needles if any(needle in text for text in seen)] == []
    assert leaks(tmp_path, secrets()) == []


def forced_errors(folder: Path, settings: dict[str, Any]) -> list[str]:
    """Return what a user sees when the container, the host or the authority is wrong."""
    changes: list[dict[str, Any]] = [{"container": "missing"}, {"ca_bundle": "/etc/ssl/certs/ca-certificates.crt"}]
    if "account_url" in settings:
        changes.append({"account_url": "https://mlpipe-no-such-account.invalid/acct"})
    texts = []
    for change in changes:
        config = {**settings, "retries": 0, **change}
        (folder / "wrong.yml").write_text(
            json.dumps({"default_datastore": "blob", "datastores": {"blob": config}, "scratch": "scratch"})
        )
        store = load_workspace(folder / "wrong.yml").datastore()
        for verb in (store.summary, store.read, lambda path, store=store: store.upload(folder / "dags", path)):
            with pytest.raises(MLPipeError) as caught:
                verb("a/b")
            texts += [str(caught.value), repr(caught.value), repr(store.__dict__)]
    assert len(texts) >= 18
    return texts


def everything_in(server: AzuriteServer, container: str) -> list[str]:
    """Return names, metadata and bytes of every blob."""
    client = ContainerClient(
        server.account_url,
        container,
        credential={"account_name": server.account, "account_key": server.key},
        connection_verify=str(server.certificate),
    )
    with client:
        blobs = list(client.list_blobs(include=["metadata"]))
        data = [bytes(client.download_blob(blob.name).readall()).decode("utf-8", "replace") for blob in blobs]
    assert len(blobs) > 10
    return [*data, *(f"{blob.name} {blob.metadata}" for blob in blobs)]


def test_an_expired_signature_is_explained(
    secure_azurite: AzuriteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLD_SAS", account_sas(secure_azurite, hours=-1))
    settings = secure_azurite.settings(secure_azurite.make_container(), {"sas_token": {"env": "OLD_SAS"}}, retries=0)
    (tmp_path / "workspace.yml").write_text(json.dumps({"default_datastore": "blob", "datastores": {"blob": settings}}))
    with pytest.raises(MLPipeError, match="expired") as caught:
        load_workspace(tmp_path / "workspace.yml").datastore().read("a")
    assert "sig" not in str(caught.value)


@pytest.mark.parametrize("how", ["raw", "url", "base64", "inside", "name"])
def test_a_leak_is_found(tmp_path: Path, how: str) -> None:
    secret = "kq+9/Zr0" * 8
    texts = {
        "raw": f"key {secret}",
        "url": f"?key={quote(secret, safe='')}",
        "base64": b64encode(secret.encode()).decode(),
        "inside": b64encode(f"the key is {secret}, keep it".encode()).decode(),
    }
    (tmp_path / "logs").mkdir()
    assert leaks(tmp_path, [secret]) == []
    place = tmp_path / "logs" / (quote(secret, safe="") if how == "name" else "task.log")
    place.write_text(texts.get(how, ""))
    assert leaks(tmp_path, [secret]) == [f"There is a secret in {place}."]
    assert leaks(tmp_path, ["another secret"]) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("https://a.blob.core.windows.net/c?sv=2021&sig=abcDEF%2B" + "x" * 40, "a SAS signature"),
        ("Authorization: SharedKey account1:" + "Ab+/" * 11, "a signed request"),
        ("AccountName=a;AccountKey=" + "Ab+/" * 22, "a connection string"),
    ],
)
def test_credentials_of_anybody_are_found(tmp_path: Path, text: str, kind: str) -> None:
    (tmp_path / "file").write_text(text)
    assert leaks(tmp_path, []) == [f"There is {kind} in {tmp_path / 'file'}."]
