"""Taking a snapshot: what belongs to the source and what counts of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blake3 import blake3

from airflow_mlpipe.errors import DataError
from airflow_mlpipe.snapshot import MAX_BYTES, MAX_FILES, take_snapshot

GOLDEN = "code:3878dedbb3a8ddb7152dcd2d3feb69f6fb33d40811056678c295783011b99839"


def write(root: Path, *names: str, text: str = "") -> Path:
    for name in names:
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text or name)
    return root


def blake(data: bytes) -> str:
    return f"blake3:{blake3(data).hexdigest()}"


def paths(folder: Path, *includes: str, base: Path | None = None) -> list[str]:
    return [file.path for file in take_snapshot(folder, includes, base).files]


def test_the_digest_of_a_small_source_is_pinned(tmp_path: Path) -> None:
    write(tmp_path, "train.py", "lib/ä.py")
    write(tmp_path, "run.sh").joinpath("run.sh").chmod(0o755)
    (tmp_path / "main.py").symlink_to("train.py")
    snapshot = take_snapshot(tmp_path)
    assert snapshot.identity() == {
        "lib/ä.py": blake("lib/ä.py".encode()),
        "main.py": "-> train.py",
        "run.sh": "x " + blake(b"run.sh"),
        "train.py": blake(b"train.py"),
    }
    assert list(snapshot.identity()) == sorted(snapshot.identity())
    assert snapshot.digest == GOLDEN


def test_what_no_run_needs_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a.py", ".git/HEAD", "sub/.git", "__pycache__/a.pyc", "sub/x.pyc", ".mlpipe/r", ".env")
    write(tmp_path, ".ipynb_checkpoints/a", "sub/__pycache__/b", "git/x")
    (tmp_path / "empty").mkdir()
    assert paths(tmp_path) == [".env", "a.py", "git/x"]


def test_the_ignore_file_at_the_top_counts_as_git_reads_it(tmp_path: Path) -> None:
    write(
        tmp_path, "a.log", "keep.log", "data/x", "data/keep", "sub/b.log", "sub/data", "top", "sub/top", "ü.tmp", "#x"
    )
    write(tmp_path, ".gitignore", text="# logs\n*.log\n!keep.log\n\ndata/\n!data/keep\n/top\n*.tmp\n\\#x\n")
    write(tmp_path, "sub/.gitignore", text="kept.py\n")
    write(tmp_path, "sub/kept.py")
    assert paths(tmp_path) == ["keep.log", "sub/.gitignore", "sub/data", "sub/kept.py", "sub/top"]


def test_amlignore_replaces_gitignore(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", "c")
    write(tmp_path, ".gitignore", text="a\n")
    write(tmp_path, ".amlignore", text="\ufeffb\r\n")
    assert paths(tmp_path) == ["a", "c"]


def test_a_change_of_the_ignore_file_that_leaves_out_nothing_new_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "a")
    before = take_snapshot(tmp_path).digest
    write(tmp_path, ".amlignore", text="nothing-like-this\n")
    assert take_snapshot(tmp_path).digest == before


def test_content_mode_names_and_line_ends_count(tmp_path: Path) -> None:
    write(tmp_path, "a.py", text="x = 1\n")
    seen = {take_snapshot(tmp_path).digest}
    (tmp_path / "a.py").write_bytes(b"x = 1\r\n")
    seen.add(take_snapshot(tmp_path).digest)
    (tmp_path / "a.py").chmod(0o755)
    seen.add(take_snapshot(tmp_path).digest)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    seen.add(take_snapshot(tmp_path).digest)
    write(tmp_path, "json.py", text="shadow")
    seen.add(take_snapshot(tmp_path).digest)
    (tmp_path / "link").symlink_to("b.py")
    seen.add(take_snapshot(tmp_path).digest)
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("json.py")
    seen.add(take_snapshot(tmp_path).digest)
    (tmp_path / "link").unlink()
    write(tmp_path, "link", text="json.py")
    seen.add(take_snapshot(tmp_path).digest)
    assert len(seen) == 8


def test_times_other_mode_bits_place_and_empty_folders_do_not_count(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", "a", "b/c"), write(tmp_path / "two", "a", "b/c")
    os.utime(two / "a", (1, 1))
    (two / "a").chmod(0o640)
    (two / "empty").mkdir()
    assert take_snapshot(one) == take_snapshot(two)
    assert take_snapshot(one).digest == take_snapshot(two).digest


def test_odd_file_names_are_kept_apart(tmp_path: Path) -> None:
    for name in (b"\xff.py", b"\xfe.py", b"new\nline", b"-x"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"same")
    snapshot = take_snapshot(tmp_path)
    assert sorted(map(os.fsencode, snapshot.identity())) == [b"-x", b"new\nline", b"\xfe.py", b"\xff.py"]
    assert snapshot.digest.startswith("code:")


@pytest.mark.parametrize(
    "target",
    ["../outside", "/etc/hostname", "{here}/a", "../src/a", "..", "b/../../outside", "loop/loop/../../outside"],
)
def test_a_link_that_leaves_is_refused_by_name(tmp_path: Path, target: str) -> None:
    source = write(tmp_path / "src", "a", "b/c")
    write(tmp_path, "outside")
    (source / "loop").symlink_to(".")
    (source / "bad").symlink_to(target.format(here=source))
    with pytest.raises(DataError, match=r"'bad'.*leads out"):
        take_snapshot(source)
    write(source, ".amlignore", text="bad\n")
    assert "bad" not in paths(source)


def test_a_pipe_is_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"'pipe'.*\.amlignore"):
        take_snapshot(tmp_path)


def test_a_source_that_is_no_folder_is_told_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent' does not exist\. Set code"):
        take_snapshot(tmp_path / "absent")
    write(tmp_path, "file")
    with pytest.raises(DataError, match="is a file"):
        take_snapshot(tmp_path / "file")


def test_shared_paths_are_laid_at_the_top_under_their_own_name(tmp_path: Path) -> None:
    write(tmp_path, "flow/src/train.py", "shared/lib/a.py", "shared/lib/deep/b.py", "shared/lib/skip.log", "one.py")
    write(tmp_path, "shared/lib/.amlignore", text="*.log\n")
    found = paths(tmp_path / "flow/src", "../shared/lib", "../one.py", "../one.py", base=tmp_path / "flow")
    assert found == ["lib/a.py", "lib/deep/b.py", "one.py", "train.py"]
    assert paths(tmp_path / "flow/src", "../one.py") == ["one.py", "train.py"]
    before = take_snapshot(tmp_path / "flow/src", ["../one.py"]).digest
    write(tmp_path, "one.py", text="changed")
    assert take_snapshot(tmp_path / "flow/src", ["../one.py"]).digest != before


@pytest.mark.parametrize(
    ("includes", "message"),
    [
        (["lib"], "lib' would be laid at 'lib'"),
        (["other/lib", "more/lib"], "Rename one"),
        (["absent"], "is no file or folder"),
        (["/"], "has no name of its own"),
    ],
)
def test_shared_paths_that_cannot_be_laid_are_refused(tmp_path: Path, includes: list[str], message: str) -> None:
    write(tmp_path, "lib/x", "other/lib/y", "more/lib/z")
    source = write(tmp_path / "src", "train.py", *(["lib/x"] if includes == ["lib"] else []))
    with pytest.raises(DataError, match=message):
        take_snapshot(source, includes, tmp_path)


def test_a_source_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, "train.py")
    with (tmp_path / "data.bin").open("wb") as stream:
        stream.truncate(MAX_BYTES)
    with pytest.raises(DataError, match=r"data\.bin \(300 MB\).*\.amlignore"):
        take_snapshot(tmp_path)
    write(tmp_path, ".amlignore", text="*.bin\n")
    assert paths(tmp_path) == ["train.py"]


def test_a_source_of_too_many_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    (tmp_path / "first").touch()
    for number in range(MAX_FILES):
        os.link(tmp_path / "first", tmp_path / "many" / str(number))
    with pytest.raises(DataError, match=r"more than 20,000 files.*\.amlignore"):
        take_snapshot(tmp_path)
