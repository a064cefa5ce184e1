"""The plan task: what it skips, refuses and says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, DownstreamTasksSkipped
from airflow.sdk import Param

from airflow_mlpipe.operators import CommandOperator, PlanOperator

pytestmark = pytest.mark.airflow


@pytest.fixture
def pipeline(project: Any) -> Any:
    with project.dag(params={"rate": Param(0.1, type="number")}) as dag:
        plan = PlanOperator(task_id="plan")
        a = CommandOperator(task_id="a", command='echo 7 > "${{outputs.o}}/n"', outputs={"o": {}})
        b = CommandOperator(
            task_id="b",
            command="echo ${{inputs.rate}} > ${{outputs.o}}/m",
            inputs={"i": a.outputs["o"], "rate": "${{parent.inputs.rate}}"},
            outputs={"o": {}},
        )
        plan >> a
        CommandOperator(task_id="aside", command="true")
    assert b.upstream_task_ids == {"a"}
    return dag


def execute(project: Any, dag: Any, task_id: str, run_id: str, **context: Any) -> Any:
    operator = dag.task_dict[task_id]
    return operator.execute(project.context(operator, run_id=run_id, **context))


def skipped(project: Any, dag: Any, run_id: str, **context: Any) -> list[str]:
    try:
        execute(project, dag, "plan", run_id, **context)
    except DownstreamTasksSkipped as skip:
        return list(skip.tasks)
    return []


def test_a_run_is_planned_at_once(project: Any, pipeline: Any, task_log: Callable[[], str]) -> None:
    assert skipped(project, pipeline, "r1") == []
    assert "0 reused (about 0 s saved), 1 to run, 1 decided when their inputs exist" in task_log()
    execute(project, pipeline, "a", "r1")
    execute(project, pipeline, "b", "r1")
    assert skipped(project, pipeline, "r2") == ["a", "b"]
    assert "identical to run r1" in task_log()
    assert "aside" not in task_log()
    assert skipped(project, pipeline, "r3", params={"rate": 0.2}) == ["a"]
    assert "input rate: 0.1 -> 0.2" in task_log()
    assert len(project.submissions()) == 2


def test_modes_come_from_the_run(project: Any, pipeline: Any) -> None:
    for task in ("a", "b"):
        execute(project, pipeline, task, "r1")
    assert skipped(project, pipeline, "r2", params={"reuse": "force"}) == []
    assert skipped(project, pipeline, "r3", params={"reuse_steps": {"b": "disable"}}) == ["a"]
    assert skipped(project, pipeline, "r4", params={"reuse": "disable", "reuse_steps": {"a": "auto"}}) == ["a"]


def test_a_cleared_plan_leaves_steps_that_ran_in_this_run(project: Any, pipeline: Any) -> None:
    assert skipped(project, pipeline, "r1", max_tries=0) == []
    for task in ("a", "b"):
        execute(project, pipeline, task, "r1", max_tries=0)
    assert skipped(project, pipeline, "r1", max_tries=0) == ["a", "b"]
    assert skipped(project, pipeline, "r1", max_tries=1) == []


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"rat": 1}, "unknown parameter 'rat'. Did you mean 'rate'?"),
        ({"reuse_steps": {"aa": "force"}}, "names no step: 'aa'. Did you mean 'a'?"),
        ({"reuse": "never"}, "reuse must be one of auto, force, disable"),
    ],
)
def test_wrong_conf_fails_the_run_at_once(project: Any, pipeline: Any, conf: dict[str, Any], message: str) -> None:
    with pytest.raises(AirflowFailException) as error:
        execute(project, pipeline, "plan", "r1", conf=conf, params=conf)
    assert message in str(error.value)


def test_a_broken_order_is_named(project: Any) -> None:
    with project.dag() as dag:
        plan = PlanOperator(task_id="plan")
        reader = CommandOperator(task_id="a", command="true", inputs={"i": "${{parent.jobs.b.outputs.o}}"})
        plan >> [reader, CommandOperator(task_id="b", command="true", outputs={"o": {}})]
    with pytest.raises(AirflowFailException, match="no step 'b' comes before this one"):
        execute(project, dag, "plan", "r1")
