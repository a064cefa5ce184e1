"""Markers: cheap identities that never pass for a content digest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_mlpipe.content.markers import is_marker, stat_summary
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.datastores.memory import MemoryDatastore


def write(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "sub" / "b").write_text("22")
    return folder


def test_a_stat_marker_follows_names_sizes_times_and_empty_folders(tmp_path: Path) -> None:
    root = write(tmp_path / "t")
    first = stat_summary(root)
    assert first is not None
    assert (first.files, first.size, first.kind) == (2, 3, "folder")
    assert first.digest.startswith("stat:")
    assert stat_summary(root) == first
    seen = {first.digest}
    os.utime(root / "a", ns=(1, 1))
    seen.add(stat_summary(root).digest)  # type: ignore[union-attr]
    (root / "empty").mkdir()
    seen.add(stat_summary(root).digest)  # type: ignore[union-attr]
    (root / "a").rename(root / "c")
    seen.add(stat_summary(root).digest)  # type: ignore[union-attr]
    assert len(seen) == 4


def test_a_stat_marker_reads_no_byte_and_misses_an_edit_in_place(tmp_path: Path) -> None:
    root = write(tmp_path / "t")
    os.utime(root / "a", ns=(10**18, 10**18))
    first = stat_summary(root)
    (root / "a").write_text("9")
    os.utime(root / "a", ns=(10**18, 10**18))
    (root / "a").chmod(0)
    assert stat_summary(root) == first


def test_the_marker_of_a_single_file_does_not_count_its_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("1")
        os.utime(tmp_path / name, ns=(5, 5))
    assert stat_summary(tmp_path / "one") == stat_summary(tmp_path / "two")
    assert stat_summary(tmp_path / "none") is None


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_the_marker_of_a_datastore_is_never_its_content_digest(kind: str, tmp_path: Path) -> None:
    store = LocalDatastore("s", tmp_path / "root") if kind == "local" else MemoryDatastore("s")
    assert store.marker("data") is None
    store.upload(write(tmp_path / "t"), "data")
    marker, content = store.marker("data"), store.summary("data")
    assert marker is not None
    assert content is not None
    assert is_marker(marker.digest)
    assert not is_marker(content.digest)
    assert (marker.files, marker.size) == (content.files, content.size)
    assert store.marker("data", ["a"]) not in (None, marker)


def test_a_local_store_does_not_count_its_own_folder(tmp_path: Path) -> None:
    root = write(tmp_path / "root")
    store = LocalDatastore("s", root)
    first = store.marker("")
    (root / ".mlpipe").mkdir(exist_ok=True)
    (root / ".mlpipe" / "digests.sqlite").write_text("x")
    assert store.marker("") == first
