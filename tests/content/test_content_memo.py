"""The memo answers what a scan would answer, only sooner."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.content.memo import TRUSTED_FILE_SYSTEMS, DigestMemo
from airflow_mlpipe.content.mounts import file_system_of
from airflow_mlpipe.errors import DataError


def settled() -> int:
    """A clock on which everything was written long ago."""
    return time.time_ns() + 60_000_000_000


def memo_at(path: Path, **options: Any) -> DigestMemo:
    """A memo that believes the file system of the test, whatever it is, and takes nothing for freshly written."""
    here = file_system_of(os.path.realpath(path.parent))
    return DigestMemo(path, **{"clock": settled, "trusted": {here}, **options})


def wait_for_tick(probe: Path) -> None:
    """Return when the file system's clock has moved, so that the next edit has another change time."""
    probe.touch()
    before = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == before:
        probe.touch()


def flip_keeping_mtime(path: Path) -> None:
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    with path.open("r+b") as stream:
        stream.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "empty").mkdir()
    for number in range(5):
        (root / "sub" / f"{number}.bin").write_bytes(bytes([number]) * 100)
    return root


def rows(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as database:
        trees, files = (
            database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("tree_v1", "file_v1")
        )
        return trees, files


def test_an_unchanged_tree_is_not_read_again_even_by_another_process(tmp_path: Path, tree: Path) -> None:
    first = memo_at(tmp_path / "memo.db")
    truth = scan(tree)
    assert truth is not None
    assert first.summary(tree) == truth.summary
    assert first.files_read == 5
    second = memo_at(tmp_path / "memo.db")
    assert second.summary(tree) == truth.summary
    assert second.manifest(tree) == truth
    assert second.files_read == 0


def test_of_a_changed_tree_only_the_changed_file_is_read(tmp_path: Path, tree: Path) -> None:
    memo = memo_at(tmp_path / "memo.db")
    memo.summary(tree)
    (tree / "sub" / "3.bin").write_bytes(b"new")
    (tree / "sub" / "4.bin").unlink()
    assert memo.manifest(tree) == scan(tree)
    assert memo.files_read == 6
    assert rows(tmp_path / "memo.db") == (1, 4)


def test_a_flipped_bit_with_size_and_time_kept_is_seen(tmp_path: Path, tree: Path) -> None:
    memo = memo_at(tmp_path / "memo.db")
    before = memo.summary(tree)
    wait_for_tick(tmp_path / "probe")
    flip_keeping_mtime(tree / "sub" / "0.bin")
    after = memo.summary(tree)
    assert after != before
    assert memo.files_read == 6
    truth = scan(tree)
    assert truth is not None
    assert after == truth.summary


def test_a_touch_is_read_again_and_is_the_same_content(tmp_path: Path, tree: Path) -> None:
    memo = memo_at(tmp_path / "memo.db")
    before = memo.summary(tree)
    os.utime(tree / "sub" / "1.bin", (1, 1))
    assert memo.summary(tree) == before
    assert memo.files_read == 6


def test_what_was_written_a_moment_ago_is_not_remembered(tmp_path: Path, tree: Path) -> None:
    memo = memo_at(tmp_path / "memo.db", clock=time.time_ns)
    assert memo.manifest(tree) == scan(tree)
    assert memo.manifest(tree) == scan(tree)
    assert memo.files_read == 10


def test_a_file_from_the_future_is_never_remembered(tmp_path: Path, tree: Path) -> None:
    memo = memo_at(tmp_path / "memo.db")
    os.utime(tree / "sub" / "0.bin", (2**33, 2**33))
    memo.summary(tree)
    memo.summary(tree)
    assert memo.files_read == 6
    assert rows(tmp_path / "memo.db") == (0, 4)


def test_a_choice_of_files_has_its_own_answer_and_shares_the_files(tmp_path: Path, tree: Path) -> None:
    memo = memo_at(tmp_path / "memo.db")
    first = memo.summary(tree, ["sub/0.bin", "sub/1.bin"])
    second = memo.summary(tree, ["sub/1.bin", "sub/2.bin"])
    assert memo.files_read == 3
    assert first != second
    assert memo.summary(tree, iter(["sub/1.bin", "sub/0.bin"])) == first
    assert memo.manifest(tree, ["sub/1.bin", "sub/2.bin"]) == scan(tree, ["sub/1.bin", "sub/2.bin"])
    assert memo.manifest(tree) == scan(tree)
    assert memo.files_read == 5


def test_single_files_and_nothing(tmp_path: Path, tree: Path) -> None:
    memo = memo_at(tmp_path / "memo.db")
    assert memo.summary(tmp_path / "absent") is None
    assert memo.manifest(tmp_path / "absent") is None
    one = scan(tree / "sub" / "1.bin")
    assert one is not None
    assert memo.summary(tree / "sub" / "1.bin") == memo.summary(tree / "sub" / "1.bin") == one.summary
    assert memo.files_read == 1


def test_two_trees_do_not_share_rows(tmp_path: Path, tree: Path) -> None:
    memo = memo_at(tmp_path / "memo.db")
    memo.summary(tree)
    tree.rename(tmp_path / "moved")
    tree.mkdir()
    (tree / "other").write_bytes(b"x")
    assert memo.manifest(tree) == scan(tree)
    assert memo.manifest(tmp_path / "moved") == scan(tmp_path / "moved")


def test_a_file_system_that_is_not_trusted_is_never_remembered(tmp_path: Path, tree: Path) -> None:
    assert not {"tmpfs", "ramfs", "nfs", "nfs4", "cifs", "fuse", "9p"} & TRUSTED_FILE_SYSTEMS
    memo = memo_at(tmp_path / "memo.db", trusted=())
    assert memo.manifest(tree) == scan(tree)
    memo.summary(tree)
    assert memo.files_read == 10
    assert not (tmp_path / "memo.db").exists()


def test_the_file_system_of_a_path_is_known() -> None:
    assert file_system_of("/proc/self") == "proc"
    assert file_system_of("/") != ""
    assert file_system_of("relative") == ""


def test_without_a_path_nothing_is_remembered(tree: Path) -> None:
    memo = DigestMemo(None)
    truth = scan(tree)
    assert truth is not None
    assert memo.summary(tree) == memo.summary(tree) == truth.summary
    assert memo.files_read == 10


@pytest.mark.parametrize("damage", ["text", "empty", "middle", "wrong_tables"])
def test_a_damaged_database_is_replaced(tmp_path: Path, tree: Path, damage: str) -> None:
    path = tmp_path / "memo.db"
    memo_at(path).summary(tree)
    if damage == "text":
        path.write_bytes(b"this is not a database, it only lies where one should be" * 100)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "middle":
        data = bytearray(path.read_bytes())
        data[100:] = os.urandom(len(data) - 100)
        path.write_bytes(data)
    else:
        path.unlink()
        with closing(sqlite3.connect(path)) as database:
            database.executescript("CREATE TABLE file_v1 (x); CREATE TABLE tree_v1 (y);")
    memo = memo_at(path)
    for _ in range(3):
        assert memo.manifest(tree) == scan(tree)
    if damage != "wrong_tables":
        read = memo.files_read
        memo.summary(tree)
        assert memo.files_read == read
        assert rows(path)[1] == 5


@pytest.mark.parametrize("place", ["file/memo.db", "folder", "/dev/null/memo.db"])
def test_a_database_that_cannot_be_opened_is_done_without(tmp_path: Path, tree: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    memo = DigestMemo(tmp_path / place, clock=settled, trusted={file_system_of(os.path.realpath(tree))})
    assert memo.manifest(tree) == scan(tree)
    assert (tmp_path / "folder").is_dir()


def test_a_locked_database_is_done_without(tmp_path: Path, tree: Path) -> None:
    path = tmp_path / "memo.db"
    memo = memo_at(path)
    memo.summary(tree)
    (tree / "sub" / "0.bin").write_bytes(b"new")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert memo.manifest(tree) == scan(tree)
        other.execute("ROLLBACK")
    assert memo.manifest(tree) == scan(tree)
    assert memo.files_read == 7


FULL_DISK = """
import resource, sys
from pathlib import Path
from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.content.memo import DigestMemo
from airflow_mlpipe.content.mounts import file_system_of
import time, os
root = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
here = file_system_of(os.path.realpath(root))
memo = DigestMemo(Path(sys.argv[2]), clock=lambda: time.time_ns() + 10**11, trusted={here})
assert memo.manifest(root) == scan(root) == memo.manifest(root)
print(memo.files_read)
"""


def test_a_full_disk_is_done_without(tmp_path: Path, tree: Path) -> None:
    for number in range(200):
        (tree / f"{number:0100}").write_bytes(b"x")
    command = [sys.executable, "-c", FULL_DISK, str(tree), str(tmp_path / "memo.db")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.stderr, answer.stdout) == ("", "410\n")


SHARED = """
import sys, time, os
from pathlib import Path
from airflow_mlpipe.content.memo import DigestMemo
from airflow_mlpipe.content.mounts import file_system_of
root = os.path.realpath(sys.argv[1])
for _ in range(20):
    memo = DigestMemo(Path(sys.argv[2]), clock=lambda: time.time_ns() + 10**11, trusted={file_system_of(root)})
    print(memo.summary(root).digest, memo.summary(root + "/sub").digest)
"""


def test_many_processes_share_one_database(tmp_path: Path, tree: Path) -> None:
    command = [sys.executable, "-c", SHARED, str(tree), str(tmp_path / "memo.db")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [process.communicate() for process in running]
    truth, below = scan(tree), scan(tree / "sub")
    assert truth is not None
    assert below is not None
    assert {line for out, _ in answers for line in out.splitlines()} == {f"{truth.digest} {below.digest}"}
    assert [error for _, error in answers] == [""] * 4
    memo = memo_at(tmp_path / "memo.db")
    memo.summary(tree)
    assert memo.files_read == 0


def test_very_many_trees_make_room_for_new_ones(tmp_path: Path, tree: Path) -> None:
    path = tmp_path / "memo.db"
    memo = memo_at(path)
    memo.summary(tree)
    with closing(sqlite3.connect(path)) as database, database:
        for number in range(2_000):
            what = (number.to_bytes(8, "big"), b"/gone", b"", "tree:0", 1, 1, "folder", 1)
            database.execute("INSERT INTO tree_v1 VALUES (?, ?, ?, ?, ?, ?, ?, ?)", what)
        database.execute("INSERT INTO file_v1 VALUES (?, ?, 1, 1, 1, ?, 'x')", (b"/nobody", b"x", b"1"))
    memo.summary(tree / "sub")
    trees, files = rows(path)
    assert trees < 1_500
    assert files == 10
    memo.summary(tree)
    assert memo.files_read == 10


def test_faults_of_the_data_are_told_as_by_a_scan(tmp_path: Path, tree: Path) -> None:
    (tree / "out").symlink_to("/etc/hostname")
    with pytest.raises(DataError, match="'out'"):
        memo_at(tmp_path / "memo.db").summary(tree)


NAMES = st.sampled_from(["a", "b", "c", "d/e", "d/f", "g/h/i", "\udcfe"])


class MemoIsTheTruth(RuleBasedStateMachine):
    """Whatever happens to a tree, memo and scan agree."""

    root: Path
    home: Path

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.home = Path(os.path.realpath(FOLDERS.pop()))
        self.root = self.home / "tree"
        self.root.mkdir()
        self.memo = memo_at(self.home / "memo.db")

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    @rule(name=NAMES, content=st.binary(max_size=3))
    def write(self, name: str, content: bytes) -> None:
        place = self.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    @rule(name=NAMES)
    def flip(self, name: str) -> None:
        place = self.root / name
        if place.is_file() and place.stat().st_size:
            flip_keeping_mtime(place)

    @rule(name=NAMES, seconds=st.integers(0, 10**9))
    def touch(self, name: str, seconds: int) -> None:
        if (self.root / name).is_file():
            os.utime(self.root / name, (seconds, seconds))

    @rule(data=st.data(), to=NAMES)
    def rename(self, data: st.DataObject, to: str) -> None:
        if files := self.files():
            place = self.root / to
            place.parent.mkdir(parents=True, exist_ok=True)
            data.draw(st.sampled_from(files)).rename(place)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if files := self.files():
            data.draw(st.sampled_from(files)).unlink()

    @rule(name=NAMES)
    def make_folder(self, name: str) -> None:
        (self.root / name).with_suffix(".folder").mkdir(parents=True, exist_ok=True)

    @rule()
    def remove_empty_folders(self) -> None:
        for place in self.root.rglob("*.folder"):
            place.rmdir()

    @rule()
    def forget(self) -> None:
        self.memo = memo_at(self.home / "memo.db")

    @invariant()
    def memo_equals_scan(self) -> None:
        if not hasattr(self, "root"):
            return
        truth, part = scan(self.root), scan(self.root, ["a", "d/e"])
        assert truth is not None
        assert part is not None
        assert self.memo.summary(self.root) == truth.summary
        assert self.memo.manifest(self.root) == truth
        assert self.memo.summary(self.root, ["a", "d/e"]) == part.summary
        read = self.memo.files_read
        assert self.memo.summary(self.root) == truth.summary
        assert self.memo.files_read == read
        wait_for_tick(self.home / "probe")


FOLDERS: list[Path] = []


def test_memo_and_scan_agree_after_any_edits(tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    for number in range(500):
        FOLDERS.append(tmp_path / str(number))
        FOLDERS[-1].mkdir()
    run_state_machine_as_test(
        MemoIsTheTruth, settings=settings(max_examples=25, stateful_step_count=15, deadline=None, database=None)
    )
    assert len(FOLDERS) < 500, "no history was tried"
    FOLDERS.clear()


def test_a_tiny_tree_is_read_rather_than_looked_up(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"1")
    memo = DigestMemo(tmp_path / "memo.sqlite", smallest=2)
    first = memo.summary(tree)
    assert memo.summary(tree) == first
    assert memo.files_read == 2
    assert not (tmp_path / "memo.sqlite").exists()
