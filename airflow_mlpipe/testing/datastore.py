# ruff: noqa: D102 - the name of a test says what it asks
"""The contract of a datastore as tests: the record verbs, and data that is whole and verified or absent.

class TestMyDatastore(DatastoreContract):
    def make(self, tmp_path):
        return MyDatastore("mine", tmp_path / "root")
"""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path

import pytest

from airflow_mlpipe.content import Manifest
from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.datastores.base import Datastore
from airflow_mlpipe.errors import DataError
from airflow_mlpipe.testing.record_storage import BAD_KEYS, ODD_NAMES, RecordStorageContract

BAD_PATHS = tuple(path for path in BAD_KEYS if path not in ("", "a/"))
"""Data paths that every datastore refuses."""

_BIG = 3_000_001


def write_tree(folder: Path) -> Path:
    """Make a small folder with what gets lost most easily: empty files and folders, odd names, depth."""
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "empty" / "nested").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"alpha")
    (folder / "nothing").write_bytes(b"")
    (folder / "sub" / "deep" / "big.bin").write_bytes(os.urandom(_BIG))
    for number, name in enumerate(ODD_NAMES):
        (folder / "sub" / name).write_bytes(str(number).encode())
    return folder


class DatastoreContract(RecordStorageContract):
    """Inherit and give :meth:`make`."""

    @abstractmethod
    def make(self, tmp_path: Path) -> Datastore:
        """Return a datastore with nothing in it."""

    @pytest.fixture
    def store(self, storage: Datastore) -> Datastore:
        """The datastore under test."""
        return storage

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        """A folder to upload."""
        return write_tree(tmp_path / "source")

    def test_nothing_is_there_at_first(self, store: Datastore, tmp_path: Path) -> None:
        assert store.summary("x") is None
        assert store.manifest("x/y") is None
        assert store.remove("x") is False
        with pytest.raises(DataError, match="nothing at 'x'"):
            store.download("x", tmp_path / "to")
        with pytest.raises(DataError, match="nothing at"):
            store.upload(tmp_path / "missing", "x")
        assert store.summary("x") is None
        assert not (tmp_path / "to").exists()

    def test_a_folder_goes_round_exactly(self, store: Datastore, tree: Path, tmp_path: Path) -> None:
        expected = scan(tree)
        assert expected
        assert store.upload(tree, "data/set") == expected
        assert store.manifest("data/set") == expected
        assert store.summary("data/set/") == expected.summary
        assert store.download("data/set", tmp_path / "out" / "copy") == expected
        assert scan(tmp_path / "out" / "copy") == expected
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["copy"]

    @pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, _BIG])
    def test_a_file_goes_round_exactly(self, store: Datastore, tmp_path: Path, size: int) -> None:
        (tmp_path / "in.bin").write_bytes(os.urandom(size))
        content = scan(tmp_path / "in.bin")
        assert content
        sent = store.upload(tmp_path / "in.bin", "data/other.bin")
        assert (sent.kind, sent.summary) == ("file", content.summary)
        assert store.manifest("data/other.bin") == sent == Manifest.of(sent.entries, kind="file")
        assert sent.entries[0].path == "other.bin"
        assert store.download("data/other.bin", tmp_path / "out.bin").summary == content.summary
        assert (tmp_path / "out.bin").read_bytes() == (tmp_path / "in.bin").read_bytes()

    def test_an_empty_folder_is_something(self, store: Datastore, tmp_path: Path) -> None:
        (tmp_path / "void").mkdir()
        sent = store.upload(tmp_path / "void", "void")
        assert store.summary("void") == sent.summary == Manifest(()).summary
        store.download("void", tmp_path / "back")
        assert list((tmp_path / "back").iterdir()) == []

    def test_only_included_files(self, store: Datastore, tree: Path, tmp_path: Path) -> None:
        store.upload(tree, "set")
        wanted = ["a.txt", "sub/#frag", "not/there"]
        expected = scan(tree, wanted)
        assert expected
        assert [entry.path for entry in expected.entries] == ["a.txt", "sub/#frag"]
        assert store.manifest("set", wanted) == expected
        assert store.summary("set", wanted) == expected.summary
        assert store.download("set", tmp_path / "part", wanted) == expected
        assert scan(tmp_path / "part") == expected

    @pytest.mark.parametrize("path", ["../a.txt", "/a.txt", "sub/../a.txt", "", "./a.txt"])
    def test_include_stays_inside(self, store: Datastore, tree: Path, tmp_path: Path, path: str) -> None:
        store.upload(tree, "set")
        with pytest.raises(DataError):
            store.manifest("set", [path])
        with pytest.raises(DataError):
            store.download("set", tmp_path / "part", [path])
        assert not (tmp_path / "part").exists()

    def test_the_root_can_be_read(self, store: Datastore, tree: Path, tmp_path: Path) -> None:
        store.upload(tree, "one")
        store.upload(tree / "a.txt", "two.txt")
        whole = store.manifest("")
        assert whole
        assert {entry.path.split("/")[0] for entry in whole.entries} == {"one", "two.txt"}
        assert "one/empty/nested" in whole.empty_folders
        assert store.summary("") == whole.summary
        part = store.manifest("", ["two.txt", "one/a.txt"])
        assert part
        assert [entry.path for entry in part.entries] == ["one/a.txt", "two.txt"]
        store.download("", tmp_path / "all")
        assert (tmp_path / "all" / "one" / "a.txt").read_bytes() == b"alpha"
        assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["one", "two.txt"]

    def test_the_root_cannot_be_written_or_removed(self, store: Datastore, tree: Path) -> None:
        store.upload(tree, "one")
        with pytest.raises(DataError, match="as a whole"):
            store.remove("")
        with pytest.raises(DataError, match="as a whole"):
            store.upload(tree, "")
        assert store.summary("one")

    def test_what_is_there_is_not_overwritten(self, store: Datastore, tree: Path, tmp_path: Path) -> None:
        sent = store.upload(tree, "set")
        other = tmp_path / "other.txt"
        other.write_text("other")
        for path in ("set", "set/a.txt", "set/empty"):
            with pytest.raises(DataError, match="exists already"):
                store.upload(other, path)
        with pytest.raises(DataError, match="exists already"):
            store.download("set", other)
        assert store.summary("set") == sent.summary
        assert other.read_text() == "other"

    def test_the_same_content_again_is_a_success(self, store: Datastore, tree: Path) -> None:
        assert store.upload(tree, "set") == store.upload(tree, "set")
        assert store.upload(tree / "a.txt", "file") == store.upload(tree / "a.txt", "file")
        (tree / "sub" / "~").write_text("other")
        with pytest.raises(DataError, match="exists already"):
            store.upload(tree, "set")

    def test_a_change_is_seen(self, store: Datastore, tree: Path) -> None:
        before = store.upload(tree, "set")
        store.replace("set/a.txt", b"alphb")
        after = store.manifest("set")
        assert after
        assert after.digest != before.digest
        assert [new.path for old, new in zip(before.entries, after.entries, strict=True) if old != new] == ["a.txt"]
        assert store.summary("set") == after.summary

    def test_remove_takes_all_of_it_and_no_more(self, store: Datastore, tree: Path) -> None:
        store.upload(tree, "set")
        store.upload(tree, "set2")
        assert store.remove("set/sub/deep")
        assert store.summary("set/sub/deep") is None
        assert store.summary("set/a.txt")
        assert store.remove("set")
        assert store.summary("set") is None
        assert store.remove("set") is False
        assert store.summary("set2") == (scan(tree) or Manifest(())).summary
        assert store.upload(tree, "set").summary == store.summary("set")

    def test_progress_counts_every_byte(self, store: Datastore, tree: Path, tmp_path: Path) -> None:
        up: list[int] = []
        down: list[int] = []
        size = store.upload(tree, "set", up.append).size
        store.download("set", tmp_path / "copy", progress=down.append)
        assert sum(up) == sum(down) == size
        assert min(up + down) > 0

    @pytest.mark.parametrize("path", BAD_PATHS)
    def test_bad_paths_are_refused_by_every_verb(self, store: Datastore, tree: Path, tmp_path: Path, path: str) -> None:
        for look in (store.summary, store.manifest, store.remove, store.local_path):
            with pytest.raises(DataError, match="not allowed"):
                look(path)
        with pytest.raises(DataError, match="not allowed"):
            store.upload(tree, path)
        with pytest.raises(DataError, match="not allowed"):
            store.download(path, tmp_path / "to")
        assert list(store.keys("")) == []

    def test_links_inside_are_followed(self, store: Datastore, tmp_path: Path) -> None:
        folder = tmp_path / "linked"
        (folder / "real").mkdir(parents=True)
        (folder / "real" / "x").write_text("x")
        (folder / "again").symlink_to("real")
        (folder / "y").symlink_to("real/x")
        sent = store.upload(folder, "set")
        assert [entry.path for entry in sent.entries] == ["again/x", "real/x", "y"]
        store.download("set", tmp_path / "copy")
        assert not (tmp_path / "copy" / "y").is_symlink()
        assert (tmp_path / "copy" / "again" / "x").read_text() == "x"

    @pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "missing", "."])
    def test_links_that_leave_or_lead_nowhere_are_refused(self, store: Datastore, tmp_path: Path, target: str) -> None:
        (tmp_path / "outside").write_text("secret")
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "link").symlink_to(target)
        with pytest.raises(DataError, match="link"):
            store.upload(tmp_path / "linked", "set")
        assert store.summary("set") is None
        assert list(store.keys("")) == []

    def test_pipes_are_refused(self, store: Datastore, tmp_path: Path) -> None:
        (tmp_path / "odd").mkdir()
        os.mkfifo(tmp_path / "odd" / "pipe")
        with pytest.raises(DataError, match="pipe"):
            store.upload(tmp_path / "odd", "set")
        assert store.summary("set") is None

    def test_a_source_that_changes_meanwhile_is_refused(self, store: Datastore, tree: Path) -> None:
        def meddle(_count: int) -> None:
            (tree / "a.txt").write_bytes(b"after")

        with pytest.raises(DataError, match="changed while"):
            store.upload(tree, "set", meddle)
        assert store.summary("set") is None
        assert list(store.keys("")) == []

    def test_a_failing_download_leaves_nothing(self, store: Datastore, tree: Path, tmp_path: Path) -> None:
        store.upload(tree, "set")

        def fail(_count: int) -> None:
            raise KeyboardInterrupt

        (tmp_path / "out").mkdir()
        with pytest.raises(KeyboardInterrupt):
            store.download("set", tmp_path / "out" / "copy", progress=fail)
        assert list((tmp_path / "out").iterdir()) == []

    def test_a_failing_upload_leaves_nothing(self, store: Datastore, tree: Path) -> None:
        def fail(_count: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.upload(tree, "set", fail)
        assert store.summary("set") is None
        assert list(store.keys("")) == []
