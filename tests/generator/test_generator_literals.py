"""Laws of the literal formatter, against Python's own reader and the real formatter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlpipe.generator.literals import LINE_LENGTH, Call, evaluate, python_literal, width

RUFF = Path(sys.executable).with_name("ruff")
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["O'Brien", "C:\\new", '"""', "a\"b'c", "{{ ds }}", "\r\n", "x" * 90]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda part: st.lists(part, max_size=4) | st.dictionaries(TEXT, part, max_size=4), max_leaves=12
)
KEYWORDS = st.dictionaries(st.sampled_from(["type", "minimum", "enum", "description"]), VALUES)
CALLS = st.builds(Call, st.sampled_from(["Param", "timedelta"]), st.tuples(VALUES) | st.just(()), KEYWORDS)


def ruff_format(source: str) -> str:
    done = subprocess.run(
        [RUFF, "format", "--isolated", "--stdin-filename", "x.py", "-"],
        input=source.encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


@given(VALUES)
def test_reading_back_gives_the_same_value_of_the_same_types(value: Any) -> None:
    text = python_literal(value)
    assert repr(ast.literal_eval(text)) == repr(value)


@given(CALLS)
def test_calls_are_read_back_without_running_them(call: Call) -> None:
    assert repr(evaluate(ast.parse(python_literal(call), mode="eval").body)) == repr(call)


@settings(max_examples=25, deadline=None)
@given(st.lists(VALUES | CALLS, min_size=6, max_size=12))
def test_ruff_leaves_our_text_alone(values: list[Any]) -> None:
    lines = [f"call(\n    name={python_literal(value, 4, len('name='))},\n)\n" for value in values]
    source = "".join(lines)
    assert ruff_format(source) == source


@given(VALUES, st.integers(0, 20))
def test_a_container_on_one_line_fits(value: Any, indent: int) -> None:
    text = python_literal(value, indent, 5)
    if isinstance(value, list | dict) and value and "\n" not in text:
        assert indent + 5 + width(text) + 1 <= LINE_LENGTH


@given(TEXT)
def test_text_stays_on_one_line_of_visible_characters(text: str) -> None:
    source = python_literal(text)
    assert len(source.splitlines()) == 1
    assert source.isprintable()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "finite"),
        ([1, {"a": float("-inf")}], r"value\[1\]\.a"),
        ("\ud800", "surrogate"),
        ({1: 2}, "key 1 is not text"),
        ((1, 2), "tuple"),
        ({1, 2}, "set"),
        (b"x", "bytes"),
        (Path("x"), "PosixPath"),
        pytest.param(10**5000, "4300 digits", id="huge"),
        (Call("os.system", ("x",)), "not a plain value"),
        (Call("Param", (), {"a b": 1}), "identifier"),
        (Call("Param", (), {"lambda": 1}), "identifier"),
    ],
)
def test_what_has_no_exact_literal_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        python_literal(value)


def test_subclasses_of_plain_types_are_refused() -> None:
    class Shouting(str):
        def __repr__(self) -> str:
            return "__import__('os')"

    with pytest.raises(ValueError, match="Shouting"):
        python_literal(Shouting("x"))


def test_a_value_nested_too_deep_is_refused() -> None:
    value: Any = 1
    for _ in range(60):
        value = [value]
    with pytest.raises(ValueError, match="nested deeper"):
        python_literal(value)


def test_quotes_are_chosen_as_formatters_do() -> None:
    assert python_literal("plain") == '"plain"'
    assert python_literal("O'Brien") == '"O\'Brien"'
    assert python_literal('say "hi"') == "'say \"hi\"'"
    assert python_literal("\u202e") == '"\\u202e"'
    assert python_literal("Zürich") == '"Zürich"'
    assert python_literal([1e16, -0.0]) == "[1e16, -0.0]"
