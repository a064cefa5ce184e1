"""Rights for a job's own machine: what they allow, what they do not, and that data written with them is verified."""

import json
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs

import pytest

from airflow_mlpipe.compute.far_side import blobs
from airflow_mlpipe.compute.far_side.digests import digest_outputs
from airflow_mlpipe.datastores.azure_blob.names import to_blob_name
from airflow_mlpipe.datastores.azure_blob.settings import read_settings
from airflow_mlpipe.datastores.azure_blob.store import AzureBlobDatastore
from airflow_mlpipe.datastores.base import NodeAccess
from airflow_mlpipe.errors import DataError
from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.testing.trees import contents


def status(method, url, query, data=None, **headers):
    headers = {"x-ms-version": "2021-12-02", "x-ms-blob-type": "BlockBlob", **headers}
    request = urllib.request.Request(f"{url}?{query}", data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def store(azurite, tmp_path):
    source = tmp_path / "source"
    (source / "deep" / "empty").mkdir(parents=True)
    (source / "a.bin").write_bytes(bytes(range(256)) * 5000)
    (source / "deep" / "ü b.txt").write_text("x")
    store = azurite.datastore()
    store.upload(source, "in/data")
    store.replace("in/other", b"not for the job")
    return store


def test_a_folder_travels_with_a_right_for_each_file(store, azurite, tmp_path):
    assert isinstance(store, NodeAccess)
    grant = store.grant_read("in/data", None, 3600)
    assert azurite.key not in repr(grant)
    assert "sig=" not in repr(grant)
    plain = json.loads(json.dumps(grant.reveal()))
    blobs.fetch(plain, tmp_path / "copy")
    assert (tmp_path / "copy" / "a.bin").read_bytes() == bytes(range(256)) * 5000
    assert (tmp_path / "copy" / "deep" / "ü b.txt").read_text() == "x"
    assert (tmp_path / "copy" / "deep" / "empty").is_dir()
    file = grant.files[0]
    other = f"{azurite.account_url}/{store._container.settings.container}/in/other"
    query = file.query.reveal()
    assert status("GET", file.url, query) == 200
    assert status("GET", other, query) == 403
    assert status("PUT", file.url, query, b"x") == 403
    assert status("DELETE", file.url, query) == 403


def test_only_the_files_that_belong_to_an_input_are_granted(store):
    grant = store.grant_read("in/data", ["deep/ü b.txt"], 3600)
    assert [file.path for file in grant.files] == ["deep/ü b.txt"]
    with pytest.raises(DataError, match="nothing at 'in/none'"):
        store.grant_read("in/none", None, 3600)


def test_another_version_of_an_input_is_refused(store, tmp_path):
    plain = store.grant_read("in/other", None, 3600).reveal()
    blobs.fetch(plain, tmp_path / "before")
    assert (tmp_path / "before").read_bytes() == b"not for the job"
    store.replace("in/other", b"another version")
    with pytest.raises(blobs.TransferError, match="changed since") as caught:
        blobs.fetch(plain, tmp_path / "after")
    assert "sig=" not in str(caught.value)


def test_an_output_can_be_created_and_nothing_else(store, tmp_path):
    grant = store.grant_create("out/model", 3600)
    query = grant.query.reveal()
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (out / "model.bin").write_bytes(b"m" * 3_000_000)
    (out / "sub" / "empty").touch()
    blobs.send(out, grant.reveal())
    left = digest_outputs({"model": str(out)})["model"]
    manifest = store.adopt("out/model", left)
    assert manifest.summary == store.manifest("out/model").summary
    store.download("out/model", tmp_path / "copy")
    assert (tmp_path / "copy" / "model.bin").read_bytes() == b"m" * 3_000_000
    there = f"{grant.url}/model.bin"
    container = grant.url.partition("/out/")[0]
    assert status("GET", there, query) == 403
    assert status("PUT", there, query, b"other") == 403
    assert status("DELETE", there, query) == 403
    assert status("GET", container, f"restype=container&comp=list&{query}") == 403
    with pytest.raises(blobs.TransferError, match="is there already"):
        blobs.send(out, grant.reveal())


@pytest.mark.parametrize("damage", ["other bytes", "missing", "foreign"])
def test_what_is_not_what_the_job_left_is_refused(store, tmp_path, damage):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_bytes(b"right")
    (out / "b").write_bytes(b"right")
    left = digest_outputs({"o": str(out)})["o"]
    blobs.send(out, store.grant_create("out/o", 3600).reveal())
    if damage == "other bytes":
        store.replace("out/o/a", b"wrong")
    elif damage == "missing":
        store.delete("out/o/a")
    else:
        store.replace("out/o/c", b"x")
    with pytest.raises(DataError, match="not what the job left"):
        store.adopt("out/o", left)


def test_of_two_claims_one_wins(store):
    grant = store.grant_create("jobs/k/claim.json", 3600, is_file=True).reveal()
    assert blobs.claim(grant, b"first")
    assert not blobs.claim(grant, b"second")
    assert blobs.claim(grant, b"first")


@pytest.mark.parametrize(
    "name", ["a.txt", "dot.", "space ", "back\\slash", "line\n", "caf\udce9", "~2e", "~x", "%2F#?"]
)
def test_a_name_goes_to_the_blob_that_the_datastore_means(store, tmp_path, name):
    out = tmp_path / "out"
    (out / name / name).mkdir(parents=True)
    (out / f"{name}{name}").write_bytes(b"x")
    blobs.send(out, store.grant_create("out/n", 3600).reveal())
    manifest = store.adopt("out/n", digest_outputs({"n": str(out)})["n"])
    assert [entry.path for entry in manifest.entries] == [f"{name}{name}"]
    store.download("out/n", tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(out)
    assert blobs.to_blob_name(f"{name}/{name}") == to_blob_name(f"{name}/{name}")


def test_paths_that_lead_out_of_the_folder_are_refused(store, tmp_path):
    plain = store.grant_read("in/data", None, 3600).reveal()
    plain["files"][0][0] = "../up"
    with pytest.raises(blobs.TransferError, match="not a path below"):
        blobs.fetch(plain, tmp_path / "copy")
    assert not (tmp_path / "up").exists()


def test_a_right_ends(store, monkeypatch):
    grant = store.grant_read("in/data", None, -3600)
    assert status("GET", grant.files[0].url, grant.files[0].query.reveal()) == 403
    monkeypatch.setattr(blobs.time, "sleep", lambda _: pytest.fail("there is nothing to wait for"))
    with pytest.raises(blobs.TransferError, match="it has expired"):
        blobs.get(grant.files[0].url, grant.files[0].query.reveal())


def test_a_signature_that_we_were_given_is_not_handed_on(azurite, tmp_path):
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    container = azurite.make_container()
    expiry = datetime.now(timezone.utc) + timedelta(hours=1)
    everything = ContainerSasPermissions(read=True, write=True, list=True, create=True, add=True, delete=True)
    sas = generate_container_sas(
        azurite.account, container, account_key=azurite.key, permission=everything, expiry=expiry
    )
    settings = azurite.settings(container, {"sas_token": Secret(sas)})
    store = AzureBlobDatastore(read_settings("given", settings, tmp_path), tmp_path / "memo")
    store.replace("a", b"1")
    assert store.grant_read("a", None, 3600) is None
    assert store.grant_create("b", 3600) is None


def test_an_identity_signs_with_a_key_that_the_service_gives_for_some_days(monkeypatch, tmp_path):
    from azure.storage.blob import BlobServiceClient, UserDelegationKey

    asked = []

    def delegation_key(_client, start, until):
        asked.append((start, until))
        key = UserDelegationKey()
        key.signed_oid, key.signed_tid, key.signed_service, key.signed_version = "oid", "tid", "b", "2026-06-06"
        key.signed_start, key.signed_expiry = start.strftime("%FT%TZ"), until.strftime("%FT%TZ")
        key.value = "c2VjcmV0"
        return key

    monkeypatch.setattr(BlobServiceClient, "get_user_delegation_key", delegation_key)
    config = {"account_name": "acct", "container": "data", "credential": {"managed_identity": {}}, "type": "azure_blob"}
    store = AzureBlobDatastore(read_settings("mine", config, tmp_path), tmp_path / "memo")
    grants = [store.grant_create("out/x", 3600), store.grant_create("out/y", 7200, is_file=True)]
    queries = [parse_qs(grant.query.reveal()) for grant in grants]
    assert [query["skoid"] for query in queries] == [["oid"], ["oid"]]
    assert [(query["sr"], query["sp"], query["spr"]) for query in queries] == [
        (["c"], ["c"], ["https"]),
        (["b"], ["rc"], ["https"]),
    ]
    assert len(asked) == 1
    assert asked[0][1] - asked[0][0] == timedelta(days=7)
    assert grants[0].url == "https://acct.blob.core.windows.net/data/out/x"
