"""What is particular to the local datastore: links, the digest cache, its own folder, refusals of the system."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_mlpipe.content.memo import DigestMemo
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.datastores.memory import MemoryDatastore
from airflow_mlpipe.errors import ConfigError, DataError, StoreError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> LocalDatastore:
    return LocalDatastore("store", root)


def staged(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".mlpipe" / "tmp").iterdir())


def test_a_relative_path_starts_at_the_workspace(tmp_path: Path) -> None:
    store = LocalDatastore.from_config("store", {"type": "local", "path": "./a/../store"}, tmp_path)
    assert store.root == tmp_path / "store"
    store.replace("k", b"x")
    assert (tmp_path / "store" / "k").read_bytes() == b"x"


def test_a_home_path_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert LocalDatastore.from_config("s", {"path": "~/data"}, tmp_path).root == tmp_path / "me" / "data"
    with pytest.raises(ConfigError, match="home folder"):
        LocalDatastore.from_config("s", {"path": "~no-such-user-here/data"}, tmp_path)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"type": "local"}, "needs 'path'"),
        ({"path": ""}, "needs 'path'"),
        ({"path": 7}, "needs 'path'"),
        ({"path": "a\0b"}, "needs 'path'"),
        ({"path": "x", "pth": "y"}, "Did you mean 'path'"),
        ({"path": "x", 7: "y"}, "unknown setting 7"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, config: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LocalDatastore.from_config("store", config, tmp_path)


def test_a_memory_store_is_fresh_and_has_no_settings(tmp_path: Path) -> None:
    first = MemoryDatastore.from_config("m", {"type": "memory"}, tmp_path)
    first.replace("k", b"x")
    assert MemoryDatastore.from_config("m", {"type": "memory"}, tmp_path).read("k") is None
    assert first.local_path("k") is None
    with pytest.raises(ConfigError, match="unknown setting 'path'"):
        MemoryDatastore.from_config("m", {"type": "memory", "path": "x"}, tmp_path)


def test_looking_creates_nothing(store: LocalDatastore, root: Path) -> None:
    assert store.summary("a") is None
    assert store.summary("") is None
    assert store.read("a") is None
    assert list(store.keys("")) == []
    assert store.local_path("a/b") == root / "a" / "b"
    assert not root.exists()


def test_writing_leaves_nothing_unfinished(store: LocalDatastore, root: Path) -> None:
    store.create("a/b", b"1")
    store.create("a/b", b"2")
    store.replace("a/b", b"3")
    (root.parent / "file").write_text("x")
    store.upload(root.parent / "file", "data/file")
    store.remove("data")
    assert staged(root) == []
    assert sorted(path.name for path in root.iterdir()) == [".mlpipe", "a"]
    assert (root / "a" / "b").stat().st_nlink == 1


def test_an_upload_never_overwrites_in_a_race(store: LocalDatastore, root: Path) -> None:
    source = root.parent / "file"
    source.write_bytes(b"ours")

    def other_writer(_count: int) -> None:
        (root / "data").mkdir(exist_ok=True)
        (root / "data" / "file").write_bytes(b"theirs")

    with pytest.raises(DataError, match="exists already"):
        store.upload(source, "data/file", other_writer)
    assert (root / "data" / "file").read_bytes() == b"theirs"
    assert staged(root) == []


@pytest.mark.parametrize("inside", [True, False])
def test_records_never_go_through_a_link(store: LocalDatastore, root: Path, inside: bool) -> None:
    target = root / "real" if inside else root.parent / "outside"
    target.mkdir(parents=True)
    (target / "k").write_bytes(b"secret")
    (root / "linked").mkdir(parents=True) if inside else root.mkdir()
    (root / "way").symlink_to(target)
    (root / "k").symlink_to(target / "k")
    for key in ("way/k", "way/new/k", "k"):
        with pytest.raises(StoreError, match="symbolic link"):
            store.read(key)
        with pytest.raises(StoreError, match="symbolic link"):
            store.create(key, b"x")
    with pytest.raises(StoreError, match="symbolic link"):
        store.delete("way/k")
    with pytest.raises(StoreError, match="symbolic link"):
        list(store.keys("way/"))
    store.replace("k", b"ours")
    assert (target / "k").read_bytes() == b"secret"
    assert sorted(path.name for path in target.iterdir()) == ["k"]


def test_data_does_not_leave_through_a_link(store: LocalDatastore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("secret")
    (root / "d").mkdir(parents=True)
    (root / "way").symlink_to(outside)
    (root / "d" / "file").symlink_to(outside / "x")
    (root / "up").symlink_to("..")
    for path in ("way", "way/x", "up/outside/x", "d/file"):
        for look in (store.summary, store.manifest, store.local_path):
            with pytest.raises(DataError, match="out of datastore"):
                look(path)
        with pytest.raises(DataError, match="out of datastore"):
            store.download(path, tmp_path / "copy")
    for path in ("way/x", "way/new", "up/new"):
        with pytest.raises(DataError, match="out of datastore"):
            store.remove(path)
        with pytest.raises(DataError, match="out of datastore"):
            store.upload(outside, path)
    with pytest.raises(DataError, match="leads out of it"):
        store.summary("d")
    assert (outside / "x").read_text() == "secret"
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / "new").exists()


def test_a_link_itself_can_be_removed(store: LocalDatastore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("kept")
    root.mkdir()
    (root / "way").symlink_to(tmp_path / "outside")
    assert store.remove("way")
    assert not (root / "way").is_symlink()
    assert (tmp_path / "outside" / "x").read_text() == "kept"


def test_links_inside_the_root_are_data(store: LocalDatastore, root: Path) -> None:
    (root / "real").mkdir(parents=True)
    (root / "real" / "x").write_text("x")
    (root / "alias").symlink_to("real")
    assert store.summary("alias") == store.summary("real")


def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    root.symlink_to(tmp_path / "disk")
    store = LocalDatastore("store", root)
    store.create("a/k", b"x")
    assert (tmp_path / "disk" / "a" / "k").read_bytes() == b"x"
    assert store.summary("a")


def test_a_file_as_root_is_refused_in_plain_words(root: Path) -> None:
    root.write_text("not a folder")
    store = LocalDatastore("store", root)
    with pytest.raises(StoreError, match="A file is where a folder is needed"):
        store.replace("k", b"x")
    with pytest.raises(StoreError, match="A file is where a folder is needed"):
        store.read("k")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = LocalDatastore("store", "/proc/sys/airflow-mlpipe")
    with pytest.raises(StoreError, match=r"/proc/sys/airflow-mlpipe/a/k cannot be written"):
        store.replace("a/k", b"x")
    (tmp_path / "x").write_text("x")
    with pytest.raises(StoreError, match=r"/proc/sys/airflow-mlpipe/a cannot be written"):
        store.upload(tmp_path / "x", "a")


_FULL = """
import resource, signal, sys, pathlib
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.errors import StoreError
folder = pathlib.Path(sys.argv[1])
store = LocalDatastore("store", folder / "root")
store.replace("old", b"old")
(folder / "tree").mkdir()
(folder / "tree" / "small").write_bytes(b"1")
(folder / "tree" / "x").write_bytes(b"1" * 3_000_000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for call in (
    lambda: store.create("new", b"1" * 200_000),
    lambda: store.replace("old", b"1" * 200_000),
    lambda: store.upload(folder / "tree", "data"),
):
    try:
        call()
    except StoreError as error:
        print(error)
"""


def test_a_write_that_fails_half_way_leaves_the_old(root: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert [line.split(" cannot be written: File too large. ")[0] for line in said] == [
        str(root / "new"),
        str(root / "old"),
        str(root / "data"),
    ]
    store = LocalDatastore("store", root)
    assert store.read("old") == b"old"
    assert list(store.keys("")) == ["old"]
    assert store.summary("data") is None
    assert staged(root) == []


_NO_FILES = """
import os, resource, sys, pathlib
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.errors import MLPipeError
folder = pathlib.Path(sys.argv[1])
store = LocalDatastore("store", folder / "root")
store.replace("a/b/old", b"old")
used = max(int(name) for name in os.listdir("/proc/self/fd"))
outcomes = []
for spare in range(12):
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, 4096))
    for call in (
        lambda: store.read("a/b/old"),
        lambda: store.create(f"a/new{spare}", b"1"),
        lambda: store.replace("a/b/old", b"old"),
    ):
        try:
            call()
            outcomes.append("done")
        except MLPipeError as error:
            outcomes.append("refused" if "Too many" in str(error) else str(error))
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
print(sorted(set(outcomes)), len(os.listdir("/proc/self/fd")) <= used + 1)
"""


def test_running_out_of_files_leaks_and_damages_nothing(root: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _NO_FILES, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['done', 'refused'] True"
    store = LocalDatastore("store", root)
    assert store.read("a/b/old") == b"old"
    assert {store.read(key) for key in store.keys("a/")} == {b"old", b"1"}


def test_no_file_stays_open(store: LocalDatastore, root: Path) -> None:
    store.replace("a/k", b"x")
    (root / "link").symlink_to("a")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        store.read("a/k")
        store.read("a")
        store.read("a/missing")
        store.create("a/k", b"y")
        store.delete("missing/k")
        list(store.keys("a/"))
        for key in ("link/k", "a/k/deeper"):
            with pytest.raises(StoreError):
                store.replace(key, b"x")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_unchanged_data_is_not_read_again(root: Path) -> None:
    (root / "data").mkdir(parents=True)
    for number in range(3):
        (root / "data" / f"{number}").write_text(str(number))
    memo = DigestMemo(root / ".mlpipe" / "digests.sqlite", clock=lambda: time.time_ns() + 3_600_000_000_000)
    (root / ".mlpipe").mkdir()
    store = LocalDatastore("store", root, memo)
    first = store.summary("data")
    assert memo.files_read == 3
    assert store.summary("data") == first
    assert memo.files_read == 3
    place = root / "data" / "1"
    before = place.stat()
    place.write_text("X")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed = store.summary("data")
    assert changed
    assert first
    assert changed.digest != first.digest
    assert memo.files_read == 4


def test_the_digest_cache_lies_in_the_stores_own_folder(store: LocalDatastore, root: Path) -> None:
    (root / "data").mkdir(parents=True)
    (root / "data" / "x").write_text("x" * 300_000)
    whole = store.summary("")
    assert (root / ".mlpipe" / "digests.sqlite").exists()
    assert list(store.keys("")) == ["data/x"]
    assert store.summary("") == whole
    for look in (store.summary, store.local_path):
        with pytest.raises(DataError, match="belongs to the datastore"):
            look(".mlpipe/digests.sqlite")


def test_a_read_only_root_is_cached_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "root"
    root.mkdir()
    (root / "x").write_text("x" * 300_000)
    (root / ".mlpipe").write_text("nothing can be written here, as in a read-only root")
    store = LocalDatastore("store", root)
    assert store.summary("x") == store.summary("x")
    assert (tmp_path / "cache" / "airflow-mlpipe" / "digests.sqlite").exists()


def test_leftovers_of_dead_processes_are_swept(store: LocalDatastore, root: Path, tmp_path: Path) -> None:
    tmp = root / ".mlpipe" / "tmp"
    (tmp / "old.data").mkdir(parents=True)
    (tmp / "old.data" / "part").write_text("half")
    (tmp / "old.record").write_text("half")
    (tmp / "fresh.data").mkdir()
    long_ago = time.time() - 30 * 24 * 3600
    for name in ("old.data", "old.record"):
        os.utime(tmp / name, (long_ago, long_ago))
    (tmp_path / "x").write_text("x")
    store.upload(tmp_path / "x", "x")
    assert staged(root) == ["fresh.data"]


def test_a_copy_between_file_systems(tmp_path: Path) -> None:
    with_memory = Path("/dev/shm") / f"mlpipe-{os.getpid()}"
    store = LocalDatastore("store", tmp_path / "root")
    data = os.urandom(40_000_000)
    with_memory.write_bytes(data)
    try:
        sent = store.upload(with_memory, "big")
    finally:
        with_memory.unlink()
    assert (tmp_path / "root" / "big").read_bytes() == data
    assert sent.summary == store.summary("big")


def test_modes_are_those_of_the_umask(store: LocalDatastore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o700)
    before = os.umask(0o027)
    try:
        store.upload(tmp_path / "run.sh", "run.sh")
        store.create("record", b"x")
    finally:
        os.umask(before)
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o640
    assert (root / "record").stat().st_mode & 0o777 == 0o640


def test_many_records_are_each_synced_before_they_appear_and_their_folder_after_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDatastore("store", tmp_path / "root")
    store.replace("runs/first", b"0")
    events: list[str] = []
    rename_for_real = os.rename

    def fsync(opened: int) -> None:
        events.append(f"sync {Path(f'/proc/self/fd/{opened}').readlink().suffix or 'folder'}")

    def rename(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        events.append(f"put {new}")
        rename_for_real(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    store.replace_all({"runs/a": b"1", "runs/b": b"2"})
    assert events == ["sync .record", "put a", "sync .record", "put b", "sync folder"]
