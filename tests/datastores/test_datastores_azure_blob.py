"""What is special about Azure Blob Storage, on a real Azurite."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from azure.core.rest import HttpRequest
from azure.storage.blob import ContentSettings
from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.exceptions import ProtocolError

from airflow_mlpipe.content import Manifest
from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.content.markers import is_marker
from airflow_mlpipe.datastores.azure_blob.store import AzureBlobDatastore
from airflow_mlpipe.errors import ConfigError, DataError, StoreError
from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.testing.datastore import write_tree

BIG = (40 << 20) + 1
_KILLED = """
import json, os, signal, sys
from pathlib import Path
from airflow_mlpipe.datastores.azure_blob.store import AzureBlobDatastore
store = AzureBlobDatastore.from_config("blob", json.loads(sys.argv[1]), Path(sys.argv[2]))
left = int(sys.argv[4])
def count(size):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
store.upload(Path(sys.argv[3]), "set", count)
"""


@pytest.fixture
def container(azurite: AzuriteServer) -> str:
    return azurite.make_container()


@pytest.fixture
def machine(azurite: AzuriteServer, container: str, tmp_path: Path) -> Callable[[str], AzureBlobDatastore]:
    """Return a function that opens the container as another machine would, which remembers nothing of the others."""
    return lambda name: azurite.datastore("blob", container=container, memo=tmp_path / f"{name}.sqlite")


@pytest.fixture
def store(machine: Callable[[str], AzureBlobDatastore]) -> AzureBlobDatastore:
    return machine("one")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "source")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the blobs that are read."""
    names: list[str] = []
    original = HTTPConnectionPool.urlopen

    def counted(self: HTTPConnectionPool, method: str, url: str, *args: Any, **options: Any) -> Any:
        place, _, query = url.partition("?")
        if method == "GET" and "comp=list" not in query:
            names.append(unquote(place.split("/", 3)[3]))
        return original(self, method, url, *args, **options)

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", counted)
    return names


def test_another_machine_knows_an_upload_without_reading_it(
    machine: Callable[[str], AzureBlobDatastore], tree: Path, reads: list[str]
) -> None:
    sent = machine("one").upload(tree, "deep/set")
    reads.clear()
    assert machine("one").summary("deep/set") == sent.summary
    assert reads == []
    assert machine("two").summary("deep/set") == sent.summary
    assert reads == [".mlpipe/digests/deep/set/proof.json"]
    part = machine("three").manifest("deep/set/sub")
    assert part
    whole = machine("four").manifest("")
    assert whole
    assert {"deep/set/sub/" + entry.path for entry in part.entries} < {entry.path for entry in whole.entries}
    assert {name.rpartition("/")[2] for name in reads} == {"proof.json"}


def test_a_marker_follows_every_write_and_reads_nothing(
    store: AzureBlobDatastore, tree: Path, reads: list[str]
) -> None:
    assert store.marker("set") is None
    store.upload(tree, "set")
    reads.clear()
    first = store.marker("set")
    assert first
    assert is_marker(first.digest)
    assert store.marker("set/") == first
    assert store.marker("set", ["a.txt"]) != first
    store.replace("set/a.txt", b"alpha")
    second = store.marker("set")
    assert second
    assert (second.files, second.size) == (first.files, first.size)
    assert second.digest != first.digest
    single = store.marker("set/a.txt")
    assert single
    assert single.kind == "file"
    assert reads == []


def test_data_of_others_is_read_once_by_each_machine(
    store: AzureBlobDatastore, reads: list[str], tmp_path: Path
) -> None:
    client = store._container.client
    client.upload_blob("landing/a.csv", b"1,2\n")
    client.upload_blob("landing/x y/100% #1?.csv", b"")
    client.upload_blob("landing/big.bin", os.urandom(BIG))
    for _ in range(2):
        manifest = store.manifest("landing")
        assert manifest
        assert [(entry.path, entry.size) for entry in manifest.entries] == [
            ("a.csv", 4),
            ("big.bin", BIG),
            ("x y/100% #1?.csv", 0),
        ]
    assert [name for name in reads if name == "landing/a.csv"] == ["landing/a.csv"]
    assert store.download("landing", tmp_path / "copy") == manifest == scan(tmp_path / "copy")
    client.upload_blob("landing/a.csv", b"1,3\n", overwrite=True)
    after = store.manifest("landing")
    assert after
    assert after.digest != manifest.digest


@pytest.mark.parametrize("name", ["a//b", "tail/", "dot.", "sp ", "a~2eb"])
def test_names_that_no_file_can_have_are_named(store: AzureBlobDatastore, tmp_path: Path, name: str) -> None:
    store._container.client.upload_blob(f"set/{name}", b"x")
    with pytest.raises(DataError, match="names that no file can have"):
        store.summary("set")
    with pytest.raises(DataError, match="names that no file can have"):
        store.download("set", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_file_that_is_a_folder_too_is_refused(store: AzureBlobDatastore) -> None:
    store.replace("set/a", b"x")
    store.replace("set/a/b", b"x")
    with pytest.raises(DataError, match="is a file and a folder at once"):
        store.summary("set")


def test_names_that_azure_cannot_keep_are_refused_before_the_first_byte(
    store: AzureBlobDatastore, tmp_path: Path
) -> None:
    (tmp_path / "set" / ("a" * 200) / ("b" * 200)).mkdir(parents=True)
    (tmp_path / "set" / ("a" * 200) / ("b" * 200) / ("\n" * 250)).write_text("x")
    (tmp_path / "set" / "fine").write_text("x")
    with pytest.raises(DataError, match=r"1 of 2 names cannot be kept .* Azure keeps at most 1024"):
        store.upload(tmp_path / "set", "set")
    assert list(store.keys("")) == []


def test_folders_that_other_tools_mark_are_folders(store: AzureBlobDatastore, tmp_path: Path) -> None:
    client = store._container.client
    client.upload_blob("set/empty", b"", metadata={"Hdi_isfolder": "true"})
    client.upload_blob("set/full", b"", metadata={"hdi_isfolder": "true"})
    client.upload_blob("set/full/a", b"x")
    manifest = store.download("set", tmp_path / "copy")
    assert ([entry.path for entry in manifest.entries], manifest.empty_folders) == (["full/a"], ("empty",))
    assert scan(tmp_path / "copy") == manifest
    assert list(store.keys("")) == ["set/full/a"]
    assert store.read("set/empty") is None


def test_compressed_blobs_arrive_as_they_are_stored(store: AzureBlobDatastore, tmp_path: Path) -> None:
    packed = gzip.compress(b"x" * 1000)
    settings = ContentSettings(content_encoding="gzip")
    store._container.client.upload_blob("a.gz", packed, content_settings=settings)
    store.download("a.gz", tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == packed == store.read("a.gz")


def test_large_files_go_in_blocks(store: AzureBlobDatastore, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for size in (4 << 20, (4 << 20) + 1, 16 << 20, (16 << 20) + 1, BIG):
        (tmp_path / "set" / str(size)).write_bytes(os.urandom(1 << 20) * (size >> 20) + b"x" * (size % (1 << 20)))
    expected = scan(tmp_path / "set")
    counts: list[int] = []
    assert store.upload(tmp_path / "set", "set", counts.append) == expected
    assert store.download("set", tmp_path / "copy", progress=counts.append) == expected
    assert expected
    assert sum(counts) == 2 * expected.size


@pytest.mark.parametrize("after", [1, 3, 20])
def test_a_killed_upload_never_looks_whole_and_goes_on(
    machine: Callable[[str], AzureBlobDatastore], azurite: AzuriteServer, container: str, tree: Path, after: int,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import json

    monkeypatch.setenv("THE_KEY", azurite.key)
    settings = json.dumps(azurite.settings(container, {"account_key": {"env": "THE_KEY"}}))
    command = [sys.executable, "-c", _KILLED, settings, str(tmp_path), str(tree), str(after)]
    assert subprocess.run(command, check=False).returncode == -9
    store = machine("two")
    kept = len(list(store.keys("set/")))
    assert kept >= after
    with pytest.raises(DataError, match="has not ended or was cut off"):
        store.summary("set")
    counts: list[int] = []
    expected = scan(tree)
    assert store.upload(tree, "set", counts.append) == expected
    assert expected
    assert len(counts) <= len(expected.entries) - kept + 1
    assert store.summary("set") == expected.summary == machine("three").summary("set")


def test_a_killed_upload_of_other_bytes_is_not_mixed_in(
    machine: Callable[[str], AzureBlobDatastore], azurite: AzuriteServer, container: str, tree: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import json

    monkeypatch.setenv("THE_KEY", azurite.key)
    settings = json.dumps(azurite.settings(container, {"account_key": {"env": "THE_KEY"}}))
    subprocess.run([sys.executable, "-c", _KILLED, settings, str(tmp_path), str(tree), "30"], check=False)
    for path in tree.rglob("*"):
        if path.is_file() and path.stat().st_size:
            path.write_bytes(b"z" * path.stat().st_size)
    store = machine("two")
    with pytest.raises(DataError, match="exists already"):
        store.upload(tree, "set")
    assert store.remove("set")
    assert _uploaded_in_the_end(store, tree) == scan(tree)


def _uploaded_in_the_end(store: AzureBlobDatastore, tree: Path) -> Manifest | None:
    """Upload; a busy service may still carry out what the dead process had asked for, so remove that again."""
    deadline = time.monotonic() + 60
    sent = None
    while sent is None and time.monotonic() < deadline:
        with suppress(DataError):
            sent = store.upload(tree, "set")
        if sent is None:
            store.remove("set")
    return sent


def test_a_lost_answer_is_a_success(store: AzureBlobDatastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service has done it, the caller did not hear of it, and the SDK asks again."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "small").write_bytes(b"small")
    (tmp_path / "set" / "large").write_bytes(os.urandom(5 << 20))
    original = HTTPConnectionPool.urlopen
    heard: set[str] = set()

    def send(self: HTTPConnectionPool, method: str, url: str, *args: Any, **options: Any) -> Any:
        answer = original(self, method, url, *args, **options)
        place = url.rpartition("/")[2]
        if method == "PUT" and place in ("record", "small", "large?comp=blocklist") and place not in heard:
            heard.add(place)
            answer.close()
            raise ProtocolError("Connection aborted.", ConnectionResetError("the connection was reset"))
        return answer

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", send)
    assert store.create("record", b"ours")
    assert not store.create("record", b"theirs")
    assert store.upload(tmp_path / "set", "set") == scan(tmp_path / "set")
    assert store.read("record") == b"ours"
    assert len(heard) == 3


@pytest.mark.parametrize("how", ["short", "long", "flipped", "empty"])
def test_what_arrives_damaged_is_refused(
    store: AzureBlobDatastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    (tmp_path / "a").write_bytes(os.urandom(100_000))
    store.upload(tmp_path / "a", "a")
    original = HTTPResponse.read

    def lie(self: HTTPResponse, *args: Any, **options: Any) -> bytes:
        data = original(self, *args, **options)
        damaged = {"short": data[:-1], "long": data + b"~", "flipped": b"~" + data[1:], "empty": b""}[how]
        return damaged if len(data) == 100_000 else data

    monkeypatch.setattr(HTTPResponse, "read", lie)
    with pytest.raises(DataError, match=r"arrived|did not arrive as they were stored"):
        store.download("a", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert list(tmp_path.glob(".mlpipe-*")) == []


def test_a_blob_that_changes_while_it_is_read_is_refused(
    store: AzureBlobDatastore, tree: Path, tmp_path: Path, small_pages: list[str]
) -> None:
    store.upload(tree, "set")

    def meddle(_size: int) -> None:
        store.replace("set/a.txt", os.urandom(5))

    with pytest.raises(DataError, match="changed while"):
        store.download("set", tmp_path / "copy", progress=meddle)
    assert not (tmp_path / "copy").exists()
    assert len(small_pages) > 2


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_copy_is_what_was_listed_or_refused(
    store: AzureBlobDatastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int, when: str
) -> None:
    """One answer lists it all and each blob is read as it was listed: what changes later may not get into the copy."""
    (tmp_path / "set").mkdir()
    for name in "abc":
        (tmp_path / "set" / name).write_bytes(os.urandom(3000))
    sent = store.upload(tmp_path / "set", "set")
    original, read = HTTPConnectionPool.urlopen, count(1)

    def meddle(self: HTTPConnectionPool, method: str, url: str, *args: Any, **options: Any) -> Any:
        meant = method == "GET" and "/set/" in url and next(read) == nth
        if meant and when == "before":
            store.replace(url.split("/", 3)[3], b"later")
        answer = original(self, method, url, *args, **options)
        if meant and when == "after":
            store.replace(url.split("/", 3)[3], b"later")
        return answer

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", meddle)
    if when == "before":
        with pytest.raises(DataError, match="changed while"):
            store.download("set", tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
    else:
        assert store.download("set", tmp_path / "copy") == sent
        assert scan(tmp_path / "copy") == sent


def test_a_service_that_answers_with_another_version_is_not_believed(
    store: AzureBlobDatastore, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upload(tree, "set")
    original = HTTPConnectionPool.urlopen

    def lie(self: HTTPConnectionPool, method: str, url: str, *args: Any, **options: Any) -> Any:
        answer = original(self, method, url, *args, **options)
        if url.endswith("/set/a.txt"):
            answer.headers["ETag"] = '"0x8D000000000000"'
        return answer

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", lie)
    with pytest.raises(DataError, match=r"a\.txt.* changed while"):
        store.download("set", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lists come in pages of seven; the requests."""
    pages: list[str] = []

    def small_page(method: str, url: str, **options: Any) -> HttpRequest:
        if "maxresults=5000" in url:
            pages.append(url)
        return HttpRequest(method, url.replace("maxresults=5000", "maxresults=7"), **options)

    monkeypatch.setattr("azure.core.rest.HttpRequest", small_page)
    return pages


def test_a_list_of_many_pages_is_whole(store: AzureBlobDatastore, small_pages: list[str]) -> None:
    names = [f"many/{number:03d}" for number in range(50)]
    for name in names:
        assert store.create(name, b"")
    assert list(store.keys("many/")) == names
    assert len(small_pages) == 8
    summary = store.summary("many")
    assert summary
    assert summary.files == 50


def test_a_memo_that_is_damaged_costs_only_time(
    machine: Callable[[str], AzureBlobDatastore], tree: Path, tmp_path: Path
) -> None:
    store = machine("one")
    sent = store.upload(tree, "set")
    for damaged in (b"", b"no database" * 1000, None):
        if damaged is None:
            (tmp_path / "one.sqlite").unlink(missing_ok=True)
            (tmp_path / "one.sqlite").mkdir()
        else:
            (tmp_path / "one.sqlite").write_bytes(damaged)
        assert store.summary("set") == sent.summary
        assert store.summary("set") == sent.summary


def test_a_damaged_proof_costs_only_time(store: AzureBlobDatastore, machine: Any, tree: Path) -> None:
    sent = store.upload(tree, "set")
    for damaged in (b"", b"{", b"[]", b'{"schema":1}'):
        store._container.blob(".mlpipe/digests/set/proof.json").upload_blob(damaged, overwrite=True)
        assert machine(f"after-{len(damaged)}").summary("set") == sent.summary
    assert store.remove("set")
    assert [blob.name for blob in store._container.client.list_blobs()] == []


def test_errors_are_in_plain_words(azurite: AzuriteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = azurite.datastore("blob", container="missing", retries=0)
    for verb in (lambda: missing.read("a"), lambda: missing.create("a", b""), lambda: missing.summary("a")):
        with pytest.raises(ConfigError, match=r"container 'missing' of datastore 'blob' .* does not exist\. Create it"):
            verb()
    with pytest.raises(ConfigError, match="does not exist"):
        missing.upload(Path(__file__), "a")
    monkeypatch.setenv("WRONG_KEY", "d3Jvbmc=")
    config = azurite.settings(azurite.make_container(), {"account_key": {"env": "WRONG_KEY"}}, retries=0)
    with pytest.raises(ConfigError, match=r"the key is wrong.*AuthorizationFailure"):
        AzureBlobDatastore.from_config("blob", config, tmp_path).read("a")
    nowhere = {**config, "account_url": "https://mlpipe-no-such-account.invalid"}
    with pytest.raises(StoreError, match=r"mlpipe-no-such-account\.invalid cannot be reached"):
        AzureBlobDatastore.from_config("blob", nowhere, tmp_path).read("a")


def test_proxies_of_the_environment_are_used(
    azurite: AzuriteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", azurite.key)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, azurite.account_url.rpartition("/")[0])
    config = azurite.settings(azurite.make_container(), {"account_key": {"env": "THE_KEY"}}, retries=0)
    assert AzureBlobDatastore.from_config("blob", config, tmp_path).read("a") is None
    elsewhere = {**config, "account_url": "https://mlpipe-no-such-account.invalid"}
    with pytest.raises(StoreError, match=r"closed connection|proxy"):
        AzureBlobDatastore.from_config("blob", elsewhere, tmp_path).read("a")
    monkeypatch.setenv("no_proxy", ".invalid")
    with pytest.raises(StoreError, match="resolve"):
        AzureBlobDatastore.from_config("blob", elsewhere, tmp_path).read("a")
