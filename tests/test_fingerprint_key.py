"""The key: two different values never share one encoding."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.fingerprint import SCHEMA_VERSION, Fingerprint, SharedPart, canonical

PARTS: dict[str, Any] = {
    "step": {"command": "python train.py", "type": "command"},
    "code": {"train.py": "blake3:9c1e", "run.sh": "x blake3:00ff"},
    "environment": {"python": "3.11", "pip": {"pandas": "pandas==2.2.3"}},
    "inputs": {"features": {"type": "uri_folder", "digest": "tree:aa"}},
    "parameters": {"lr": 0.1, "rounds": 100, "name": "O'Brien", "fast": True, "none": None},
    "outputs": {"model": {"type": "mlflow_model"}},
    "reuse_version": "",
}
GOLDEN_KEY = "d9e8abb419db1c953613917bc4927068c72e447e241f421705a8a89b1a751518"
GOLDEN_BYTES = (
    "6d00000000000000a073000000000000000161740000000000000035440000000000000019323031332d30322d303154"
    "30303a30303a30302b30303a303064000000000000000a323031332d30322d3031730000000000000001626c00000000"
    "000000456e0000000000000000620000000000000001316900000000000000032d66666600000000000000083fe00000"
    "00000000730000000000000002c3a9790000000000000001ff"
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=6)
    | st.binary(max_size=6)
    | st.datetimes(timezones=st.none() | st.just(timezone.utc))
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_the_format_is_pinned() -> None:
    value = {
        "b": [None, True, -255, 0.5, "é", b"\xff"],
        "a": (datetime(2013, 2, 1, tzinfo=timezone.utc), date(2013, 2, 1)),
    }
    assert SCHEMA_VERSION == 1
    assert canonical(value).hex() == GOLDEN_BYTES
    assert Fingerprint(PARTS).key == GOLDEN_KEY


def shape(value: Any) -> Any:
    """A form in which equality means same type and same value, made in another way than the encoding."""
    if isinstance(value, dict):
        return "dict", frozenset((key, shape(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value).__name__, tuple(map(shape, value))
    if isinstance(value, float):
        return "float", value, math.copysign(1, value)
    if isinstance(value, datetime):
        return "datetime", value.isoformat()
    return type(value).__name__, value


@given(VALUES, VALUES)
def test_two_values_share_an_encoding_only_if_they_are_the_same(left: Any, right: Any) -> None:
    assert (canonical(left) == canonical(right)) == (shape(left) == shape(right))


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_lists_of_text_are_never_mixed_up(left: list[str], right: list[str]) -> None:
    assert (canonical(left) == canonical(right)) == (left == right)


@given(st.dictionaries(st.text(max_size=3), VALUES, min_size=2, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_count(mapping: dict[str, Any], random: Any) -> None:
    items = list(mapping.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(mapping)


@pytest.mark.parametrize(
    "values",
    [
        (1, "1", True, 1.0, b"1", None, "None", [1], (1,), {"1": 1}),
        (0.0, -0.0, 0, False, "", b"", [], (), {}, None),
        (0.1 + 0.2, 0.3),
        ({"a": "1b2", "b": ""}, {"a": "1", "b": "2b"}, {"a": "1b2"}, {"a": "1b2", "b": None}),
        (["ab"], ["a", "b"], [["a"], "b"], [["a", "b"]]),
        ("caf\u00e9", "cafe\u0301"),
        ("\udcc3\udca9", "é", "\ud83d\ude00", "😀"),
        (
            datetime(2013, 1, 1),  # noqa: DTZ001 - without a zone on purpose
            datetime(2013, 1, 1, tzinfo=timezone.utc),
            datetime(2013, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            date(2013, 1, 1),
            "2013-01-01",
        ),
        (2**63, 2**64, -(2**63), 2**63 - 1),
    ],
)
def test_look_alikes_differ(values: tuple[Any, ...]) -> None:
    assert len({canonical(value) for value in values}) == len(values)


class Colour(str, Enum):
    RED = "red"


@pytest.mark.parametrize("value", [{1, 2}, object(), Colour.RED, 1j, {1: "x"}, [{"a": range(3)}], bytearray(b"x")])
def test_a_value_without_a_fixed_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="reuse"):
        canonical(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_float_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Fingerprint({"parameters": {"lr": value}}).key  # noqa: B018 - the key is made when it is asked for


def test_swapping_or_renaming_ports_changes_the_key() -> None:
    def key(**inputs: str) -> str:
        return Fingerprint({**PARTS, "inputs": inputs}).key

    assert len({key(a="tree:1", b="tree:2"), key(a="tree:2", b="tree:1"), key(a="tree:1", c="tree:2")}) == 3


def test_the_key_can_be_made_again_from_stored_parts() -> None:
    first = Fingerprint(PARTS)
    assert Fingerprint(first.parts).key == first.key
    assert first.parts == {**PARTS, "schema": SCHEMA_VERSION}


@pytest.mark.parametrize("value", [{}, {"python": "3.11.7", "numpy": "2.1"}, {"b": {"a": 1}, "a": [None, 1.5]}])
def test_a_shared_part_counts_as_the_mapping_that_it_is(value: dict[str, Any]) -> None:
    shared = SharedPart(value)
    assert canonical(shared) == canonical(value)
    assert canonical({"environment": [shared, shared]}) == canonical({"environment": [value, value]})
    assert Fingerprint({**PARTS, "environment": shared}).key == Fingerprint({**PARTS, "environment": value}).key


def test_the_key_does_not_depend_on_the_hash_seed() -> None:
    program = f"from airflow_mlpipe.fingerprint import Fingerprint; print(Fingerprint({PARTS!r}).key)"
    keys = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "TZ": zone}, capture_output=True, check=True
        ).stdout
        for seed, zone in (("0", "UTC"), ("1", "Asia/Tokyo"), ("4294967295", "America/New_York"))
    }
    assert keys == {f"{GOLDEN_KEY}\n".encode()}
