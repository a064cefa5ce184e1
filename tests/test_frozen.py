"""Frozen values: what does not fit is refused, and every misfit is named with the keys that lead to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, field

from airflow_mlpipe.frozen import Kept, Strict, checked, from_json, misfits, plain, replaced, said, to_json


class Port(Strict, frozen=True, kw_only=True):
    """An inner shape."""

    path: str
    mode: Literal["ro", "rw"] = "ro"
    tries: Annotated[int, Meta(ge=1)] = 1


class Task(Strict, frozen=True, kw_only=True):
    """An outer shape."""

    name: str
    ports: dict[Annotated[str, Meta(pattern=r"^[a-z]+\Z")], Port | int | str | None] = field(default_factory=dict)
    seconds: Annotated[float, Meta(gt=0)] | None = None
    first: Port | None = None
    tags: tuple[str, ...] = ()


class Written(Kept, frozen=True, kw_only=True):
    """A record."""

    number: float = 0.0
    where: Path = Path()


def named(fields: dict[str, object]) -> list[tuple[str, str, str, bool]]:
    with pytest.raises(ValueError, match=r"\w"):
        checked(Task, fields)
    return [(".".join(one.where), one.text, one.given, one.is_unknown) for one in misfits(Task, fields)]


def test_all_misfits_are_named_at_once_by_their_keys() -> None:
    found = named(
        {
            "ports": {"a": {"path": 1, "mod": "ro"}, "b": {"path": "x", "mode": "no", "tries": 0}, "2": 1},
            "seconds": -1,
            "first": {},
            "tag": [],
        }
    )
    assert found == [
        ("tag", "unknown key", "", True),
        ("name", "this key is missing", "", False),
        ("ports.a.mod", "unknown key", "", True),
        ("ports.a.path", "Expected `str`, got `int`", "1", False),
        ("ports.b.mode", "Invalid enum value 'no'", "'no'", False),
        ("ports.b.tries", "Expected `int` >= 1", "0", False),
        ("ports.2", "the name does not fit: Expected `str` matching regex '^[a-z]+\\\\Z'", "'2'", False),
        ("seconds", "Expected `float` > 0.0", "-1", False),
        ("first.path", "this key is missing", "", False),
    ]
    unknown = next(one for one in misfits(Task, {"name": "x", "first": {"path": "x", "mod": "ro"}}))
    assert unknown.owner is Port


@pytest.mark.parametrize("value", [[1], object(), 1.5])
def test_what_fits_no_choice_is_named_with_all_of_them(value: object) -> None:
    [(where, text, shown, _)] = named({"name": "x", "ports": {"a": value}})
    assert where == "ports.a"
    assert text.startswith("Expected `")
    assert shown == repr(value)


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
TREES = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["name", "ports", "seconds", "first", "tags", "path", "mode", "tries", "x"])


@given(st.dictionaries(KEYS, TREES | st.dictionaries(KEYS, TREES, max_size=4), max_size=6))
def test_whatever_is_refused_has_a_misfit_and_whatever_fits_comes_back(fields: dict[str, object]) -> None:
    try:
        value = checked(Task, fields)
    except ValueError:
        assert list(misfits(Task, fields))
        return
    assert checked(Task, plain(value)) == value
    assert checked(Task, {"name": value.name, **said(value)}) == value
    assert from_json(Task, to_json(value)) == value


def test_defaults_are_left_out_of_what_was_said_at_any_depth() -> None:
    task = Task(name="t", ports={"a": Port(path="x"), "b": 1}, first=Port(path="y", tries=2))
    assert said(task) == {"name": "t", "ports": {"a": {"path": "x"}, "b": 1}, "first": {"path": "y", "tries": 2}}
    assert said(task, without={"name", "ports"}) == {"first": {"path": "y", "tries": 2}}


def test_a_frozen_value_is_replaced_and_not_changed() -> None:
    port = Port(path="x")
    assert replaced(port, tries=3) == Port(path="x", tries=3)
    assert port.tries == 1
    with pytest.raises(AttributeError):
        port.tries = 3  # type: ignore[misc]


def test_a_record_of_a_later_version_is_read_and_one_of_a_person_is_not() -> None:
    assert from_json(Written, b'{"number": 2, "later": {"x": 1}}') == Written(number=2.0)
    with pytest.raises(ValueError, match="later"):
        from_json(Port, b'{"path": "x", "later": 1}')


def test_json_has_no_word_for_a_number_that_is_not_finite_and_none_for_objects() -> None:
    assert to_json(Written(number=float("nan"), where=Path("a/b"))) == b'{"number":null,"where":"a/b"}'
    assert from_json(Written, b'{"where": "a/b"}').where == Path("a/b")
    with pytest.raises(ValueError, match="object has no form in JSON"):
        to_json(Written(number=object()))  # type: ignore[arg-type]
