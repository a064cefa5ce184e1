"""Differences of two fingerprints, as a person asks for them."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.fingerprint import Difference, differences

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 0.5]) | st.sampled_from(["", "1", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=2),
    max_leaves=6,
)
PARTS = st.dictionaries(st.sampled_from(["step", "code", "parameters", "schema", "extra"]), PLAIN, max_size=4)


def test_each_difference_is_named_on_its_own_and_in_order() -> None:
    old = {
        "reuse_version": "",
        "parameters": {"lr": 0.1, "gone": 1, "same": "x"},
        "code": {"train.py": "blake3:1"},
        "environment": {"python": "3.11", "pip": {"pandas": "pandas==2.1"}},
        "inputs": {"features": {"type": "uri_folder", "digest": "tree:1"}},
        "step": {"command": "a"},
        "schema": 1,
        "zebra": 1,
    }
    new: dict[str, Any] = {
        "step": {"command": "b"},
        "code": {"train.py": "blake3:1", "new.py": "blake3:2"},
        "environment": {"python": "3.12", "pip": {"pandas": "pandas==2.2"}},
        "inputs": {"features": {"type": "uri_folder", "digest": "tree:2"}},
        "parameters": {"lr": 0.2, "same": "x"},
        "reuse_version": "2",
        "schema": 2,
        "zebra": 2,
    }
    assert differences(old, new) == [
        Difference("step", "command", "a", "b"),
        Difference("code", "new.py", None, "blake3:2"),
        Difference("environment", "pip.pandas", "pandas==2.1", "pandas==2.2"),
        Difference("environment", "python", "3.11", "3.12"),
        Difference("inputs", "features.digest", "tree:1", "tree:2"),
        Difference("parameters", "gone", 1, None),
        Difference("parameters", "lr", 0.1, 0.2),
        Difference("reuse_version", "", "", "2"),
        Difference("schema", "", 1, 2),
        Difference("zebra", "", 1, 2),
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"code": None}, {"code": {"a": "1"}}, [Difference("code", "a", None, "1")]),
        ({}, {"code": {"a": "1"}}, [Difference("code", "a", None, "1")]),
        ({"code": {}}, {"code": None}, [Difference("code", "", {}, None)]),
        ({"p": {"a": None}}, {"p": {}}, [Difference("p", "a", "null", None)]),
        ({"p": {"a": 1}}, {"p": {"a": True}}, [Difference("p", "a", 1, True)]),
        ({"p": {"a": 1}}, {"p": {"a": 1.0}}, [Difference("p", "a", 1, 1.0)]),
        ({"p": {"a": [1]}}, {"p": {"a": [1, 2]}}, [Difference("p", "a", [1], [1, 2])]),
    ],
)
def test_what_is_absent_and_what_is_none(old: dict[str, Any], new: dict[str, Any], expected: list[Difference]) -> None:
    assert differences(old, new) == expected


def test_parts_that_went_through_json_are_the_same() -> None:
    parts = {"step": {"includes": ("a", "b")}, "parameters": {"x": 1.0, "y": -0.0, "z": "\udcff", "n": None}}
    assert differences(json.loads(json.dumps(parts)), parts) == []


@given(PARTS, PARTS)
def test_there_is_a_difference_exactly_when_the_values_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    assert (differences(old, new) == []) == same
    assert len(differences(old, new)) == len(differences(new, old))


def test_dates_and_bytes_are_shown_as_json_has_them() -> None:
    old = {"parameters": {"month": date(2013, 1, 1), "raw": b"\xffx"}}
    new = {"parameters": {"month": "2013-01-01", "raw": "y"}}
    assert differences(old, new) == [Difference("parameters", "raw", "\\xffx", "y")]
