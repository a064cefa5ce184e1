"""The plain truth about trees: what counts, what does not, what is refused."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.content.digest import hash_entry, hash_file, scan
from airflow_mlpipe.content.walk import walk
from airflow_mlpipe.errors import DataError

GOLDEN = "tree:8c55e3cf213896875031ebaf43248cb5f46542fcd54be9282cc4c00bbc77a48b"


def build(root: Path, files: dict[str, bytes], empty: tuple[str, ...] = ()) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    for name in empty:
        (root / name).mkdir(parents=True)
    return root


def digest_of(root: Path) -> str:
    manifest = scan(root)
    assert manifest is not None
    return manifest.digest


def test_the_digest_of_a_small_tree_is_pinned(tmp_path: Path) -> None:
    tree = build(tmp_path / "tree", {"a.txt": b"alpha\n", "sub/b.bin": bytes(range(256)), "sub/ä.txt": b""}, ("none",))
    assert digest_of(tree) == GOLDEN


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (8 << 20) + 17])
def test_a_file_has_the_digest_of_its_bytes_whatever_its_size(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    assert hash_file(tmp_path / "f") == f"blake3:{blake3(data).hexdigest()}"


FORKED = """
import os, signal, sys
from airflow_mlpipe.content.digest import hash_file
expected = hash_file(sys.argv[1])
if os.fork() == 0:
    signal.alarm(20)
    os._exit(0 if hash_file(sys.argv[1]) == expected else 1)
print(os.wait()[1])
"""


def test_a_large_file_is_hashed_in_a_forked_child_too(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(9 << 20))
    answer = subprocess.run([sys.executable, "-c", FORKED, str(tmp_path / "f")], capture_output=True, text=True)
    assert (answer.stdout, answer.stderr) == ("0\n", "")


def test_nothing_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert scan(tmp_path / "absent") is None
    assert scan(tmp_path / "file" / "below") is None
    assert scan(f"{tmp_path}/zero\0byte") is None


def test_a_single_file_counts_by_its_bytes_alone(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_bytes(b"x")
    two.write_bytes(b"x")
    first, second = scan(one), scan(two)
    assert first is not None
    assert second is not None
    assert (first.kind, first.digest) == ("file", second.digest)
    assert first.entries == (FileEntry("one.csv", 1, first.digest),)
    assert scan(one, ["two.csv"]) is None


def test_the_same_content_at_another_place_and_time_is_the_same(tmp_path: Path) -> None:
    files = {"a": b"1", "b/c": b"2"}
    one, two = build(tmp_path / "one", files), build(tmp_path / "two", files)
    os.utime(two / "a", (1, 1))
    (two / "a").chmod(0o700)
    assert scan(one) == scan(two)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"a/b": b"", "c": b""}, {"a": b"", "b/c": b""}),
        ({"a": b"b", "c": b""}, {"a": b"bc"}),
        ({"a": b"1", "b": b"2"}, {"a": b"2", "b": b"1"}),
        ({"A": b""}, {"a": b""}),
        ({"caf\u00e9": b""}, {"cafe\u0301": b""}),
    ],
)
def test_trees_that_a_careless_encoding_would_mix_up_differ(
    tmp_path: Path, left: dict[str, bytes], right: dict[str, bytes]
) -> None:
    assert digest_of(build(tmp_path / "left", left)) != digest_of(build(tmp_path / "right", right))


def test_an_empty_folder_counts(tmp_path: Path) -> None:
    plain = build(tmp_path / "plain", {"a": b""})
    more = build(tmp_path / "more", {"a": b""}, ("empty",))
    assert digest_of(plain) != digest_of(more)
    found = scan(more)
    assert found is not None
    assert found.empty_folders == ("empty",)


TREES = st.dictionaries(
    st.lists(st.sampled_from(["a", "b", "c d", "é", "\udcff"]), min_size=3, max_size=3).map("/".join),
    st.binary(max_size=8),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(files=TREES, data=st.data())
def test_any_changed_byte_and_any_rename_changes_the_digest_and_the_time_does_not(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], data: st.DataObject
) -> None:
    root = build(tmp_path_factory.mktemp("law") / "tree", files)
    before = digest_of(root)
    name = data.draw(st.sampled_from(sorted(files)))
    place = root / name
    os.utime(place, (5, 5))
    assert digest_of(root) == before
    old = place.read_bytes()
    position = data.draw(st.integers(0, len(old)))
    place.write_bytes(old[:position] + b"\x01" + old[position:])
    assert digest_of(root) != before
    if old:
        position = min(position, len(old) - 1)
        place.write_bytes(
            old[:position] + bytes([old[position] ^ data.draw(st.integers(1, 255))]) + old[position + 1 :]
        )
        assert digest_of(root) != before
    place.write_bytes(old)
    assert digest_of(root) == before
    place.rename(place.with_name("renamed"))
    assert digest_of(root) != before


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(0, 2**60)),
    st.lists(st.text(min_size=1), max_size=2),
)
def test_a_manifest_survives_json(files: dict[str, int], folders: list[str]) -> None:
    folders = [folder.encode("utf-8", "replace").decode() for folder in folders]
    manifest = Manifest.of((FileEntry(name, size, "blake3:00") for name, size in files.items()), folders)
    again = Manifest.from_json(manifest.to_json())
    assert (again, again.digest) == (manifest, manifest.digest)


def test_names_that_are_not_utf8_and_other_odd_ones_are_kept_apart(tmp_path: Path) -> None:
    names = [b"\xff", b"\xfe", "ÿ".encode(), b"new\nline", b"-r", b" ", b"quote'\""]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(b"same")
    found = scan(tmp_path)
    assert found is not None
    assert sorted(os.fsencode(entry.path) for entry in found.entries) == sorted(names)
    assert Manifest.from_json(found.to_json()) == found


def test_links_inside_count_as_what_they_point_to(tmp_path: Path) -> None:
    linked = build(tmp_path / "linked", {"data/x": b"1"})
    (linked / "latest").symlink_to("data")
    (linked / "file").symlink_to("data/x")
    plain = build(tmp_path / "plain", {"data/x": b"1", "latest/x": b"1", "file": b"1"})
    assert digest_of(linked) == digest_of(plain)
    (tmp_path / "alias").symlink_to("linked")
    assert digest_of(tmp_path / "alias") == digest_of(plain)


@pytest.mark.parametrize("target", ["../outside", "{tmp}/outside", "../tree-beside/x", "missing", "self"])
def test_links_that_leave_or_lead_nowhere_are_refused_by_name(tmp_path: Path, target: str) -> None:
    tree = build(tmp_path / "tree", {"a": b""})
    build(tmp_path, {"outside": b"secret", "tree-beside/x": b"secret"})
    (tree / "self").symlink_to(target.format(tmp=tmp_path))
    with pytest.raises(DataError, match="'self'"):
        scan(tree)


@pytest.mark.parametrize("links", [{"a/up": ".."}, {"a/me": "."}, {"a/x": "../b", "b/y": "../a"}])
def test_links_in_a_circle_are_refused(tmp_path: Path, links: dict[str, str]) -> None:
    build(tmp_path, {"a/f": b"", "b/f": b""})
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    with pytest.raises(DataError, match="around itself"):
        scan(tmp_path)


def test_pipes_and_sockets_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piped = build(tmp_path / "piped", {})
    os.mkfifo(piped / "pipe")
    with pytest.raises(DataError, match=r"'pipe' is a pipe"):
        scan(piped)
    with pytest.raises(DataError, match="not a regular file"):
        hash_file(piped / "pipe")
    build(tmp_path / "listening", {})
    monkeypatch.chdir(tmp_path / "listening")  # the address of a socket may not be long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(DataError, match=r"'socket' is a pipe, socket"):
            scan(tmp_path / "listening")
    with pytest.raises(DataError, match="device"):
        scan("/dev/null")


def test_a_file_that_changed_after_the_walk_is_refused(tmp_path: Path) -> None:
    build(tmp_path, {"kept": b"1", "edited": b"1", "gone": b"1", "replaced": b"1"})
    tree = walk(tmp_path)
    assert tree is not None
    (tmp_path / "edited").write_bytes(b"22")
    (tmp_path / "gone").unlink()
    (tmp_path / "replaced").unlink()
    os.mkfifo(tmp_path / "replaced")
    edited, gone, kept, replaced = tree.files
    assert hash_entry(tree, kept).size == 1
    for file in (edited, gone):
        with pytest.raises(DataError, match="changed while it was read"):
            hash_entry(tree, file)
    with pytest.raises(DataError, match="not a regular file"):
        hash_entry(tree, replaced)


def test_include_takes_only_the_files_it_names(tmp_path: Path) -> None:
    build(tmp_path, {"2013-01.csv": b"1", "2013-02.csv": b"2", "sub/x": b"3"}, ("empty",))
    found = scan(tmp_path, ["2013-02.csv", "sub/x", "2013-02.csv", "2099-01.csv", "sub", "2013-01.csv/x"])
    assert found is not None
    assert [entry.path for entry in found.entries] == ["2013-02.csv", "sub/x"]
    assert found.empty_folders == ()
    before = found.digest
    (tmp_path / "2013-01.csv").write_bytes(b"other")
    again = scan(tmp_path, ["2013-02.csv", "sub/x"])
    assert again is not None
    assert again.digest == before


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "./a", "a//b", "a\0b"])
def test_include_cannot_name_a_file_outside(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="plain relative path"):
        scan(tmp_path, [path])


def test_include_cannot_leave_through_a_link(tmp_path: Path) -> None:
    build(tmp_path / "outside", {"x": b"secret"})
    tree = build(tmp_path / "tree", {})
    (tree / "out").symlink_to("../outside")
    with pytest.raises(DataError, match="leads out of it"):
        scan(tree, ["out/x"])


def test_a_missing_file_is_told_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        hash_file(tmp_path / "absent")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1],
        lambda text: text.replace(b'"a"', b'"b"'),
        lambda text: text.replace(b'"schema":1', b'"schema":2'),
        lambda text: text.replace(b'"folder"', b'"file"'),
        lambda text: b"[]",
        lambda text: b"\xff",
    ],
)
def test_a_damaged_manifest_is_refused(damage: Callable[[bytes], bytes]) -> None:
    whole = Manifest.of([FileEntry("a", 1, "blake3:00")]).to_json()
    assert Manifest.from_json(whole).size == 1
    with pytest.raises(DataError, match="manifest is damaged"):
        Manifest.from_json(damage(whole))
