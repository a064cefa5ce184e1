"""Variables for steps: unique, legal, stable."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.generator.names import is_identifier, variable_names


@given(st.lists(st.text(max_size=80) | st.from_regex(r"[a-c._-]{1,4}", fullmatch=True), unique=True))
def test_every_step_gets_a_legal_variable_of_its_own(names: list[str]) -> None:
    chosen = variable_names(names)
    assert list(chosen) == names
    assert len(set(chosen.values())) == len(names)
    assert all(is_identifier(variable) and len(variable) <= 70 for variable in chosen.values())


def test_awkward_names() -> None:
    chosen = variable_names(
        ["2nd", "lambda", "a.b", "a-b", "a_b", "plan", "DAG", "Zürich", "train\n"], taken=["CommandOperator"]
    )
    assert chosen == {
        "2nd": "step_2nd",
        "lambda": "lambda_step",
        "a.b": "a_b_2",
        "a-b": "a_b_3",
        "a_b": "a_b",
        "plan": "plan_step",
        "DAG": "DAG_step",
        "Zürich": "Z_rich",
        "train\n": "train_",
    }
