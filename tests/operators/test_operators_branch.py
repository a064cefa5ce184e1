"""The branch task: what it skips, in one call, and what a clear does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, DownstreamTasksSkipped
from airflow.sdk import Param

from airflow_mlpipe.operators import BranchOperator, CommandOperator, PlanOperator

pytestmark = pytest.mark.airflow


@pytest.fixture
def pipeline(project: Any) -> Any:
    with project.dag(params={"flag": Param("true", type="string")}) as dag:
        plan = PlanOperator(task_id="plan")
        check = CommandOperator(
            task_id="check",
            command="echo ${{inputs.flag}} > ${{outputs.good}}",
            inputs={"flag": "${{parent.inputs.flag}}"},
            outputs={"good": {"type": "uri_file", "value": "boolean"}},
        )
        decide = BranchOperator(
            task_id="decide", condition=check.outputs["good"], when_true=["deploy"], when_false=["repair"]
        )
        deploy = CommandOperator(task_id="deploy", command="echo > ${{outputs.o}}/x", outputs={"o": {}})
        repair = CommandOperator(task_id="repair", command="true")
        tell = CommandOperator(task_id="tell", command="ls ${{inputs.o}}", inputs={"o": deploy.outputs["o"]})
        plan >> check
        decide >> [deploy, repair]
    assert decide.upstream_task_ids == {"check"}
    assert tell.upstream_task_ids == {"deploy"}
    return dag


def execute(project: Any, dag: Any, task_id: str, run_id: str, **context: Any) -> list[str]:
    operator = dag.task_dict[task_id]
    try:
        operator.execute(project.context(operator, run_id=run_id, **context))
    except DownstreamTasksSkipped as skip:
        return list(skip.tasks)
    return []


NO, YES = {"params": {"flag": "false"}}, {"params": {"flag": "true"}}


def test_the_branch_that_is_not_taken_is_skipped_whole(
    project: Any, pipeline: Any, task_log: Callable[[], str]
) -> None:
    assert execute(project, pipeline, "plan", "r1", **NO) == []
    execute(project, pipeline, "check", "r1", **NO)
    assert execute(project, pipeline, "decide", "r1", **NO) == ["deploy", "tell"]
    assert "deploy skipped: decide: the condition is false" in task_log()

    execute(project, pipeline, "check", "r2", **YES)
    assert execute(project, pipeline, "decide", "r2", **YES) == ["repair"]


def test_the_plan_decides_when_it_knows_the_condition(project: Any, pipeline: Any) -> None:
    for task in ("check", "decide", "deploy", "tell"):
        execute(project, pipeline, task, "r1", **YES)
    skipped = execute(project, pipeline, "plan", "r2", **YES)
    assert sorted(skipped) == ["check", "decide", "deploy", "repair", "tell"]


def test_a_step_that_was_left_out_runs_when_a_person_clears_it(project: Any, pipeline: Any) -> None:
    execute(project, pipeline, "check", "r1", **NO)
    assert "deploy" in execute(project, pipeline, "decide", "r1", **NO)
    execute(project, pipeline, "deploy", "r1", max_tries=1, **NO)
    assert len(project.submissions()) == 2


def test_a_condition_that_nobody_has_decided_is_a_fault(project: Any, pipeline: Any) -> None:
    with pytest.raises(AirflowException, match="needs the outputs of step check"):
        execute(project, pipeline, "decide", "r9", **YES)
