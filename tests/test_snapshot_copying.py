"""Reading and copying a snapshot: what comes out is what was looked at, or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_mlpipe.errors import DataError
from airflow_mlpipe.snapshot import Snapshot, take_snapshot


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "src"
    (root / "lib").mkdir(parents=True)
    (root / "train.py").write_bytes(b"x = 1\r\n")
    (root / "lib" / "run.sh").write_text("echo")
    (root / "lib" / "run.sh").chmod(0o755)
    (root / "lib" / "main.py").symlink_to("../train.py")
    (root / "dangling").symlink_to("not-there")
    (root / os.fsdecode(b"\xff")).write_bytes(b"odd")
    return root


def test_a_copy_is_the_same_source(tmp_path: Path, source: Path) -> None:
    snapshot = take_snapshot(source)
    snapshot.copy_to(tmp_path / "deep" / "copy")
    copy = tmp_path / "deep" / "copy"
    assert take_snapshot(copy) == snapshot
    assert os.access(copy / "lib" / "run.sh", os.X_OK)
    assert not os.access(copy / "train.py", os.X_OK)
    assert (copy / "lib" / "main.py").readlink() == Path("../train.py")
    assert (copy / "lib" / "main.py").read_bytes() == b"x = 1\r\n"


def test_a_copy_holds_the_shared_paths(tmp_path: Path, source: Path) -> None:
    (tmp_path / "shared.py").write_text("shared")
    take_snapshot(source, ["shared.py"], tmp_path).copy_to(tmp_path / "copy")
    assert (tmp_path / "copy" / "shared.py").read_text() == "shared"


def test_an_empty_source_gives_an_empty_folder(tmp_path: Path) -> None:
    Snapshot(()).copy_to(tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path: Path, source: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(DataError, match="exists already"):
        take_snapshot(source).copy_to(tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []
    with pytest.raises(DataError, match="cannot be made"):
        take_snapshot(source).copy_to(source / "train.py" / "copy")


@pytest.mark.parametrize("change", ["edit", "delete", "folder"])
def test_a_source_that_changed_since_is_refused_and_leaves_nothing(tmp_path: Path, source: Path, change: str) -> None:
    snapshot = take_snapshot(source)
    status = (source / "train.py").stat()
    (source / "train.py").unlink()
    if change == "edit":
        (source / "train.py").write_bytes(b"x = 2\r\n")
        os.utime(source / "train.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "folder":
        (source / "train.py").mkdir()
    with pytest.raises(DataError, match=r"'train\.py' changed while"):
        snapshot.copy_to(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    with pytest.raises(DataError, match=r"'train\.py' changed while"):
        snapshot.read("train.py")


def test_files_are_read_as_they_were(source: Path) -> None:
    snapshot = take_snapshot(source)
    assert snapshot.read("train.py") == b"x = 1\r\n"
    assert snapshot.read("lib/main.py") == b"../train.py"
    with pytest.raises(DataError, match="no file 'lib'"):
        snapshot.read("lib")
