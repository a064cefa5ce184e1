from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.spec.scalars import resolve


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "off",
        "yes",
        "no",
        "Y",
        "n",
        "12:30:00",
        "2013-02-01",
        "1_000",
        "0b1",
        "1.2.3",
        "+",
        ".",
        "e5",
        "0x",
        "=",
        "<<",
    ],
)
def test_these_are_text(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("-7", -7), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0),
        ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None), ("-.inf", -math.inf),
    ],
)  # fmt: skip
def test_these_are_values(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_nan() -> None:
    assert math.isnan(resolve(".nan"))  # type: ignore[arg-type]


@given(st.integers(-(10**80), 10**80))
def test_integers_come_back(number: int) -> None:
    assert resolve(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back(number: float) -> None:
    found = resolve(repr(number))
    assert isinstance(found, float)
    assert found == number


@given(st.text(max_size=20))
def test_text_is_itself_or_a_value_of_the_core_schema(text: str) -> None:
    found = resolve(text)
    assert found == text or found is None or isinstance(found, bool | int | float)
