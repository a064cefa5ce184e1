"""SFTP beyond the contract: other servers, broken connections, names of every kind, nothing outside of the root."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.content import ContentSummary
from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.content.markers import is_marker
from airflow_mlpipe.datastores.sftp.store import SFTPDatastore
from airflow_mlpipe.errors import ConfigError, DataError, StoreError
from airflow_mlpipe.testing.sshd import SSHServer

NAMES = [
    b"line\nbreak",
    b"caf\xe9 not utf-8",
    b"\xff\xfe",
    "hello? sausage/êé/Hello, 世界/ \" ' @ < > & ? + ≠/z.txt".encode(),
    b" leading and trailing ",
    b"-rf",
    b"$(touch x)",
    b"\x01\x7f",
]


def make(server: SSHServer, root: Path, **changes: Any) -> SFTPDatastore:
    config = {"type": "sftp", **server.settings, "path": str(root), **changes}
    return SFTPDatastore.from_config("far", {key: value for key, value in config.items() if value is not None}, root)


def content(place: Path) -> ContentSummary:
    manifest = scan(place)
    assert manifest
    return manifest.summary


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "far"


@pytest.fixture
def store(sshd: SSHServer, root: Path) -> SFTPDatastore:
    return make(sshd, root)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[SSHServer]:
    with SSHServer(tmp_path / "sshd") as server:
        yield server


def test_names_of_every_kind_go_round(store: SFTPDatastore, root: Path, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        place = tmp_path / "source" / os.fsdecode(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(str(number).encode())
    sent = store.upload(tmp_path / "source", "set")
    assert sent == scan(tmp_path / "source") == scan(root / "set") == store.manifest("set")
    assert store.download("set", tmp_path / "back") == scan(tmp_path / "back") == sent


def test_data_that_others_wrote_are_read_as_they_are(store: SFTPDatastore, root: Path, tmp_path: Path) -> None:
    (root / "in").mkdir(parents=True)
    (root / "in" / "a").write_bytes(b"one")
    before = store.marker("in")
    assert store.manifest("in") == scan(root / "in")
    os.utime(root / "in" / "a", (1, 1))
    after = store.marker("in")
    assert before is not None
    assert after is not None
    assert is_marker(after.digest)
    assert before.digest != after.digest
    assert store.summary("in") == content(root / "in")
    (root / "in" / "a").write_bytes(b"two")
    os.utime(root / "in" / "a", (1, 1))
    assert store.marker("in") == after, "size and time are all that a marker knows"
    assert store.summary("in") == content(root / "in"), "content is read, not believed"


@pytest.mark.parametrize("path", ["out", "out/secret", "file"])
def test_links_out_of_the_root_are_refused(store: SFTPDatastore, root: Path, tmp_path: Path, path: str) -> None:
    root.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "file").symlink_to(tmp_path / "outside" / "secret")
    for look in (store.summary, store.manifest, store.marker):
        with pytest.raises(DataError, match="out of"):
            look(path)
    with pytest.raises(DataError, match="out of"):
        store.download(path, tmp_path / "to")
    with pytest.raises(DataError, match="leads out of it"):
        store.manifest("")
    with pytest.raises((DataError, StoreError)):
        store.upload(tmp_path / "outside", "out/new")
    with pytest.raises((DataError, StoreError), match="out of"):
        store.remove("out/secret")
    for verb in (store.read, store.delete):
        with pytest.raises(StoreError, match="symbolic link"):
            verb("out/secret")
    for write in (store.create, store.replace):
        with pytest.raises(StoreError, match="symbolic link"):
            write("out/new", b"x")
        with pytest.raises(StoreError, match="symbolic link"):
            write("file", b"x")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]
    assert (tmp_path / "outside" / "secret").read_text() == "secret"


def test_links_inside_are_followed_and_loops_refused(store: SFTPDatastore, root: Path, tmp_path: Path) -> None:
    (root / "set" / "real").mkdir(parents=True)
    (root / "set" / "real" / "x").write_text("x")
    (root / "set" / "again").symlink_to("real")
    (root / "set" / "y").symlink_to("real/x")
    assert store.manifest("set") == scan(root / "set")
    assert store.download("set", tmp_path / "back") == scan(root / "set")
    (root / "set" / "real" / "loop").symlink_to("..")
    with pytest.raises(DataError, match="around itself"):
        store.manifest("set")
    (root / "set" / "real" / "loop").unlink()
    (root / "set" / "dangling").symlink_to("nowhere")
    with pytest.raises(DataError, match="leads to nothing"):
        store.manifest("set")
    (root / "set" / "dangling").unlink()
    os.mkfifo(root / "set" / "pipe")
    with pytest.raises(DataError, match="pipe"):
        store.manifest("set")


def test_a_server_without_the_extensions_keeps_data_but_no_records(tmp_path: Path, root: Path) -> None:
    with SSHServer(tmp_path / "sshd", sftp_options="-P hardlink,posix-rename,fsync") as server:
        store = make(server, root)
        for write in (store.create, store.replace):
            with pytest.raises(StoreError, match=r"hardlink@openssh\.com.*keep records on another datastore"):
                write("record", b"x")
        assert store.read("record") is None
        (tmp_path / "source").mkdir()
        (tmp_path / "source" / "a").write_bytes(b"a")
        sent = store.upload(tmp_path / "source", "set")
        assert store.upload(tmp_path / "source" / "a", "file").summary.size == 1
        with pytest.raises(DataError, match="exists already"):
            store.upload(tmp_path / "source", "file")
        assert store.download("set", tmp_path / "back") == sent
        assert store.remove("set")
        assert [path.name for path in root.iterdir() if path.name != ".mlpipe"] == ["file"]


def test_a_read_only_server_serves_data(tmp_path: Path, root: Path) -> None:
    root.mkdir()
    (root / "a").write_text("a")
    with SSHServer(tmp_path / "sshd", sftp_options="-R") as server:
        store = make(server, root)
        assert store.download("a", tmp_path / "back").summary == content(root / "a")
        with pytest.raises(StoreError, match="cannot be"):
            store.upload(root / "a", "b")
        with pytest.raises(StoreError, match="cannot be written"):
            store.replace("c", b"x")
    assert [path.name for path in root.iterdir()] == ["a"]


def test_a_broken_connection_is_opened_again(own_server: SSHServer, root: Path, tmp_path: Path) -> None:
    store = make(own_server, root)
    assert store.create("k", b"first")
    assert own_server.drop_connections() > 0
    assert store.read("k") == b"first"
    own_server.drop_connections()
    assert store.create("k", b"first"), "what was stored before the connection broke is our own"
    own_server.drop_connections()
    store.replace("k", b"second")
    own_server.drop_connections()
    assert list(store.keys("")) == ["k"]


def test_a_transfer_survives_broken_connections(own_server: SSHServer, root: Path, tmp_path: Path) -> None:
    store = make(own_server, root)
    (tmp_path / "source").mkdir()
    for number in range(6):
        (tmp_path / "source" / f"{number}").write_bytes(os.urandom(9 << 20))
    breaks: list[int] = []

    def break_off(_count: int) -> None:
        if len(breaks) < 2:
            breaks.append(own_server.drop_connections())

    sent = store.upload(tmp_path / "source", "set", break_off)
    assert sent == scan(root / "set")
    assert len(breaks) == 2
    breaks.clear()
    assert store.download("set", tmp_path / "back", progress=break_off) == sent
    assert len(breaks) == 2
    assert not list((root / ".mlpipe" / "tmp").iterdir())


def test_a_server_that_is_down_is_named(own_server: SSHServer, root: Path) -> None:
    store = make(own_server, root)
    own_server.stop()
    with pytest.raises(StoreError, match="cannot be reached over SSH"):
        store.read("k")
    own_server.start()
    store.replace("k", b"x")
    assert store.read("k") == b"x"


def test_an_unknown_host_gets_no_data(sshd: SSHServer, root: Path, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("")
    store = make(sshd, root, known_hosts=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="host key"):
        store.replace("k", b"x")
    assert not root.exists()
    trusting = make(sshd, root, known_hosts=None, insecure_host_key=True)
    trusting.replace("k", b"x")
    assert (root / "k").read_bytes() == b"x"


def test_a_forked_child_has_a_connection_of_its_own(store: SFTPDatastore) -> None:
    store.replace("parent", b"1")
    child = os.fork()
    if child == 0:
        try:
            store.replace("child", b"2")
        finally:
            os._exit(0 if store.read("parent") == b"1" else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert store.read("child") == b"2"


def test_a_datastore_that_is_gone_leaves_no_thread(sshd: SSHServer, root: Path, wait_until: Any) -> None:
    before = set(threading.enumerate())
    store = make(sshd, root)
    store.replace("k", b"x")
    begun = set(threading.enumerate()) - before
    assert begun
    del store
    gc.collect()
    wait_until(lambda: not begun & set(threading.enumerate()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": None}, "needs 'path'"),
        ({"path": "a\0b"}, "needs 'path'"),
        ({"pth": "x"}, r"unknown setting 'pth'.*Did you mean 'path'"),
        ({"conn_id": "x"}, "only exists inside of Airflow"),
        ({"host": None}, "'host' is None"),
    ],
)
def test_bad_settings_are_named(sshd: SSHServer, root: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(sshd, root, **changes)
