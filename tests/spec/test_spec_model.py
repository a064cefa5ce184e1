from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.spec.model import Parameter


@pytest.mark.parametrize(
    ("kind", "value", "typed"),
    [
        ("integer", 5, 5),
        ("integer", 5.0, 5),
        ("integer", " 5 ", 5),
        ("number", 1, 1.0),
        ("number", "1e-3", 0.001),
        ("boolean", True, True),
        ("boolean", "False", False),
        ("string", "", ""),
        ("string", "5", "5"),
    ],
)
def test_values_take_the_declared_type(kind: str, value: object, typed: object) -> None:
    found = Parameter(type=kind).normalise(value)
    assert found == typed
    assert type(found) is type(typed)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("integer", True, "must be a whole number, got True"),
        ("integer", 2.5, "must be a whole number, got 2.5"),
        ("integer", "2.0", "must be a whole number"),
        ("integer", None, "must be a whole number, got None"),
        ("integer", float("inf"), "must be a whole number"),
        ("number", False, "must be a finite number"),
        ("number", "nan", "must be a finite number"),
        ("number", 10**400, "must be a finite number"),
        ("boolean", 1, "must be true or false"),
        ("boolean", "yes", "must be true or false"),
        ("string", 5, "must be text, got 5"),
        ("string", ["a"], "must be text"),
    ],
)
def test_other_values_are_refused_in_words(kind: str, value: object, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        Parameter(type=kind).normalise(value)


@given(st.integers(-(10**15), 10**15))
def test_a_number_is_one_number_however_it_is_written(number: int) -> None:
    parameter = Parameter(type="number")
    assert parameter.normalise(number) == parameter.normalise(float(number)) == parameter.normalise(str(number))
    assert isinstance(parameter.normalise(number), float)


def test_range_and_enum() -> None:
    parameter = Parameter(type="integer", min=1, max=240)
    assert parameter.normalise(240) == 240
    with pytest.raises(ParameterError, match="must be at least 1, got 0"):
        parameter.normalise(0)
    with pytest.raises(ParameterError, match="must be at most 240, got 241"):
        parameter.normalise("241")
    with pytest.raises(ParameterError, match="must be one of 'a', 'b', got 'c'"):
        Parameter(type="string", enum=("a", "b")).normalise("c")


def test_absent_values() -> None:
    assert Parameter(type="integer", optional=True).normalise(None) is None
    assert Parameter(type="integer").is_required
    assert not Parameter(type="integer", optional=True).is_required
    assert not Parameter(type="boolean", default=False).is_required


def test_parameters_are_frozen_and_strict() -> None:
    parameter = Parameter(type="integer")
    with pytest.raises(AttributeError, match="immutable"):
        parameter.default = 5  # type: ignore[misc]
    with pytest.raises(TypeError, match="defualt"):
        Parameter(type="integer", defualt=5)  # type: ignore[call-arg]
