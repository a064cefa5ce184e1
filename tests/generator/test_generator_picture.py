"""The graph in the docstring."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from airflow_mlpipe.generator import Renderer
from airflow_mlpipe.generator.picture import picture
from airflow_mlpipe.generator.plan import plan_dag
from airflow_mlpipe.spec.step import Step
from tests.generator.specs import pipeline


def chain(length: int) -> list[Step]:
    names = [f"s{number}" for number in range(length)]
    return [
        Step(name=name, command="x", upstream=(names[place - 1],) if place else ()) for place, name in enumerate(names)
    ]


def test_a_step_stands_right_of_all_that_it_waits_for() -> None:
    steps = [
        Step(name="a", command="x"),
        Step(name="b", command="x", upstream=("a",)),
        Step(name="c", command="x", upstream=("a", "b")),
        Step(name="d", command="x"),
    ]
    assert list(picture(steps)) == ["a", "  b  <- a", "    c  <- a, b", "d"]


@pytest.mark.parametrize(("length", "lines"), [(1, 0), (2, 2), (40, 40), (41, 0)])
def test_what_fits_a_screen_is_drawn(length: int, lines: int) -> None:
    assert len(list(picture(chain(length)))) == lines


@pytest.mark.parametrize("name", ['a"""b', "a\\", "a\nb", "{{ x }}", "a\u202eb"])
def test_no_name_gets_out_of_the_docstring(name: str, tmp_path: Path) -> None:
    steps = (Step(name="first", command="x"), Step(name=name, command="x", upstream=("first",)))
    text = Renderer().render(plan_dag(pipeline(tmp_path, *steps), tmp_path))
    tree = ast.parse(text)
    kinds = [type(node) for node in tree.body]
    assert kinds == [ast.Expr, ast.ImportFrom, ast.ImportFrom, ast.With]
    assert "first" in (ast.get_docstring(tree) or "")
    assert "\u202e" not in text
