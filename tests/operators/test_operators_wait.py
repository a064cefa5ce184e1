"""A step that waits for another run: deferred, or in its worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_mlpipe.execution.turns import Turn
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.operators import CommandOperator
from airflow_mlpipe.operators.attempt import Attempt
from airflow_mlpipe.triggers.turn import TurnTrigger

pytestmark = pytest.mark.airflow


def step(project: Any, seconds: float, **fields: Any) -> CommandOperator:
    with project.dag():
        command = f"sleep {seconds}; echo x > ${{{{outputs.o}}}}/x"
        return CommandOperator(task_id="a", command=command, outputs={"o": {}}, poll_interval=0.1, **fields)


def deferred(operator: Any, context: Any, work: Callable[..., Any] | None = None, **arguments: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        (work or operator.execute)(context, **arguments)
    return caught.value


def test_the_waiter_defers_until_its_turn_and_reuses(project: Any, task_log: Callable[[], str]) -> None:
    operator = step(project, 1, defer_after=0.0)
    deferred(operator, project.context(operator, run_id="one"))
    second = deferred(operator, project.context(operator, run_id="two"))
    trigger = second.trigger
    assert isinstance(trigger, TurnTrigger)
    assert second.method_name == "execute_after_wait"
    assert "waiting for run one of flights (step a), which computes the same step" in task_log()

    foreign = {"key": "mlp-x", "state": "succeeded"}
    again = deferred(
        operator,
        project.context(operator, run_id="two"),
        operator.execute_after_wait,
        event=foreign,
        **(second.kwargs or {}),
    )
    assert isinstance(again.trigger, TurnTrigger)

    operator.defer_after = 30.0
    outputs = operator.execute(project.context(operator, run_id="one"))
    event = {"nonce": trigger.waiting.nonce, "turn": Turn(trigger.waiting.nonce, 5.0, "it says why").to_json()}
    context = project.context(operator, run_id="two")
    assert operator.execute_after_wait(context, event, **(second.kwargs or {})) == outputs
    assert "no longer waiting: it says why" in task_log()
    assert "reuse: identical to run one" in task_log()
    assert len(project.submissions()) == 1


def test_without_deferral_the_worker_waits(project: Any) -> None:
    operator = step(project, 1, deferrable=False)
    results: list[Any] = []

    def one(run_id: str) -> None:
        results.append(operator.execute(project.context(operator, run_id=run_id)))

    threads = [threading.Thread(target=one, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert len(project.submissions()) == 1


def test_killing_a_waiter_leaves_the_holder_alone(project: Any) -> None:
    operator = step(project, 30, defer_after=0.0)
    context = project.context(operator, run_id="one")
    deferred(operator, context)
    waiter = step(project, 30, defer_after=0.0)
    deferred(waiter, project.context(waiter, run_id="two"))
    waiter.on_kill()
    workspace = MLPipeHook(folder=project.folder / "dags").get_workspace()
    [job] = workspace.runs.jobs("flights", "one", "a")
    assert job.ended is None
    holder = Attempt.open(operator, context)
    holder.run()
    holder.kill()
    [job] = workspace.runs.jobs("flights", "one", "a")
    assert job.ended == "cancelled"
