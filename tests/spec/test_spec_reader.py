from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlpipe.spec.diagnostics import Faults, Position
from airflow_mlpipe.spec.reader import MAX_BYTES, Document, read_document


def read(tmp_path: Path, content: str | bytes) -> tuple[Document | None, list[str]]:
    path = tmp_path / "x.yml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    faults = Faults()
    return read_document(path, "x.yml", faults), [str(fault) for fault in faults.errors]


def test_positions_of_keys_values_and_items(tmp_path: Path) -> None:
    document, faults = read(tmp_path, "a:\n  b: [1, 'zwö']\n  c: x\n")
    assert faults == []
    assert document is not None
    assert document.data == {"a": {"b": [1, "zwö"], "c": "x"}}
    place = document.root / "a"
    assert place.position(of_key=True) == Position(1, 1)
    assert (place / "b").position() == Position(2, 6)
    assert (place / "b" / 1).position() == Position(2, 10)
    assert (place / "c").position(of_key=True) == Position(3, 3)
    assert (place / "c").text == "x"
    assert str(place / "b" / 1) == "a.b[1]"


def test_a_place_that_was_not_written_points_at_the_key_above(tmp_path: Path) -> None:
    document, _ = read(tmp_path, "x: 1\na:\n  b: 1\n")
    assert document is not None
    assert (document.root / "a" / "gone" / "deeper").position() == Position(2, 1)


def test_the_text_of_a_number_is_kept_as_written(tmp_path: Path) -> None:
    document, _ = read(tmp_path, "version: 1.10\nkey: 0x10\n")
    assert document is not None
    assert document.data == {"version": 1.1, "key": 16}
    assert (document.root / "version").text == "1.10"


def test_quoted_scalars_and_blocks_are_text(tmp_path: Path) -> None:
    document, _ = read(tmp_path, "a: '1'\nb: \"true\"\nc: |\n  5\nd: >\n  null\n")
    assert document is not None
    assert document.data == {"a": "1", "b": "true", "c": "5\n", "d": "null\n"}


def test_keys_are_text(tmp_path: Path) -> None:
    document, _ = read(tmp_path, "on: 1\n1: 2\ntrue: 3\n2013-02-01: 4\n")
    assert document is not None
    assert list(document.data) == ["on", "1", "true", "2013-02-01"]


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    document, faults = read(tmp_path, b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert faults == []
    assert document is not None
    assert document.data == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"a: 1\nb: \xff\n", "x.yml:2:4 error MLP002  byte 0xff"),
        ("ä: ö\nb: ".encode() + b"\xfc", "x.yml:2:4 error MLP002"),
        ("a: 1".encode("utf-16"), "x.yml:1:1 error MLP002"),
        (b"", "x.yml:1:1 error MLP011  the file is empty"),
        (b"# nothing\n", "x.yml:1:1 error MLP011  the file is empty"),
        (b"- a\n", "x.yml:1:1 error MLP011  the file does not hold a mapping"),
        (b"a: \x00\n", "x.yml:1:4 error MLP003  not valid YAML: control characters are not allowed"),
        (b'a: "\\ud800"\n', "x.yml:1:7 error MLP003"),
        (b"a: " + b"x" * MAX_BYTES, f"x.yml:1:1 error MLP004  the file has {MAX_BYTES + 3} bytes"),
        (b"[" * 400_000, "x.yml:1:42 error MLP004  values are nested more than 40 deep"),
        (b"{a: " * 200_000, "x.yml:1:162 error MLP004"),
        (b"- " * 400_000, "x.yml:1:83 error MLP004"),
        (b"a: [" + b"1," * 60_000 + b"]", "x.yml:1:99999 error MLP004  the file has more than 50000 values"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, content: bytes, start: str) -> None:
    document, faults = read(tmp_path, content)
    assert document is None
    assert len(faults) == 1
    assert faults[0].startswith(start)


def test_the_billion_laughs_are_not_laughed(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    document, faults = read(tmp_path, "\n".join(lines))
    assert document is None
    assert all("MLP006" in fault for fault in faults)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    faults = Faults()
    assert read_document(tmp_path, "folder", faults) is None
    assert read_document(tmp_path / "gone.yml", "gone.yml", faults) is None
    assert [str(fault) for fault in faults.errors] == [
        "folder:1:1 error MLP001  this is not a file.",
        "gone.yml:1:1 error MLP001  the file cannot be read: No such file or directory.",
    ]


printable = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | printable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(printable, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60)
@given(data=st.dictionaries(st.text(alphabet="abc ", min_size=1, max_size=5), values, min_size=1, max_size=4))
def test_json_is_read_as_json_means_it(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    document, faults = read(tmp_path_factory.mktemp("json"), json.dumps(data, ensure_ascii=False))
    assert faults == []
    assert document is not None
    assert document.data == data
