"""Decisions through the real scheduler: a branch that is not taken is skipped whole, its second level too."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.airflow

DONE = {"plan": "success", "first.check": "success", "decide": "success", "report": "success"}


def test_branches_in_a_real_run(airflow: Any) -> None:
    """One story, because each part needs the one before."""
    assert airflow.run("branched", "bad", {"good": "false"}) == "success"
    states = {**DONE, "deploy": "skipped", "tell": "skipped", "repair": "success"}
    assert airflow.api.task_states("branched", "bad") == states
    assert "tell skipped: decide: the condition is false" in airflow.api.task_log("branched", "bad", "decide")

    assert airflow.run("branched", "good", {"good": "true"}) == "success"
    states = {**DONE, "deploy": "success", "tell": "success", "repair": "skipped"}
    assert airflow.api.task_states("branched", "good") == states

    assert airflow.run("branched", "again", {"good": "false"}) == "success"
    only_the_plan = dict.fromkeys(states, "skipped") | {"plan": "success"}
    assert airflow.api.task_states("branched", "again") == only_the_plan
    assert "2 left out by a condition" in airflow.api.task_log("branched", "again", "plan")
