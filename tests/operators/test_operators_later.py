"""The operators of jobs that cannot be run yet: they load, and say so when they are run."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_mlpipe.operators import (
    AutoMLOperator,
    CommandOperator,
    ImportOperator,
    PlanOperator,
    SparkOperator,
    SweepOperator,
)

pytestmark = pytest.mark.airflow

KINDS = (AutoMLOperator, ImportOperator, SparkOperator, SweepOperator)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_fails_at_once_and_is_not_retried(project: Any, kind: Any) -> None:
    with project.dag():
        first = CommandOperator(task_id="first", command="echo > ${{outputs.o}}/x", outputs={"o": {}})
        later = kind(task_id="later", definition={"limits": {"timeout": 1}}, inputs={"x": first.outputs["o"]})
        plan = PlanOperator(task_id="plan")
        plan >> first
    assert later.upstream_task_ids == {"first"}
    assert later.step.definition == {"limits": {"timeout": 1}}
    for task in (plan, later):
        with pytest.raises(AirflowFailException, match="cannot be run yet"):
            task.execute(project.context(task))
    assert project.submissions() == []
