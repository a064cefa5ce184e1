"""Waiting in the triggerer for another run that computes the same step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.execution.lifecycle import abandon
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.turns import Turn, Waiting
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.triggers.turn import TurnTrigger, turn_from_event

pytestmark = pytest.mark.airflow

STEP = checked(Step, {"name": "a", "command": "sleep 60", "outputs": {"o": {}}})


@pytest.fixture
def held(project: Any) -> Iterator[Callable[[], None]]:
    """A holder that runs; call to end it."""
    hook, run = MLPipeHook(folder=project.folder / "dags"), RunInfo("p", "holder", {}, {}, project.folder)
    ticket = hook.submit(STEP, run)
    assert isinstance(ticket, Ticket)

    def end() -> None:
        abandon(hook.get_workspace(), STEP, run, ticket)

    yield end
    end()


def trigger_of(project: Any) -> TurnTrigger:
    waiting = MLPipeHook(folder=project.folder / "dags").submit(STEP, RunInfo("p", "w", {}, {}, project.folder))
    assert isinstance(waiting, Waiting)
    return TurnTrigger("mlpipe_default", str(project.folder / "dags"), waiting.to_json(), 0.1)


def test_it_survives_airflows_database(project: Any, held: Callable[[], None]) -> None:
    trigger = trigger_of(project)
    name, arguments = trigger.serialize()
    again = TurnTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (name, arguments)
    assert trigger.resume_arguments == {"waiting": trigger.waiting.to_json()}


def test_it_fires_when_the_holder_has_ended_and_not_before(
    project: Any, held: Callable[[], None], task_log: Callable[[], str]
) -> None:
    trigger = trigger_of(project)

    async def payload() -> Any:
        firing = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(0.5)
        assert not firing.done()
        await asyncio.to_thread(held)
        return (await firing).payload

    event = asyncio.run(payload())
    turn = turn_from_event(json.loads(json.dumps(event)), trigger.waiting)
    assert turn is not None
    assert (turn.passed, turn.why) == (trigger.waiting.nonce, "")
    assert "waiting for run holder of p (step a), which computes the same step" in task_log()


def test_the_end_of_another_wait_is_not_ours() -> None:
    waiting = Waiting("k", "mine", {"pipeline": "p", "run_id": "r", "step": "s"})
    assert turn_from_event({"nonce": "other", "turn": Turn("other").to_json()}, waiting) is None
    assert turn_from_event({"key": "mlp-1", "state": "succeeded"}, waiting) is None
    assert turn_from_event({"nonce": "mine", "turn": Turn("mine").to_json()}, waiting) == Turn("mine")
    with pytest.raises(MLPipeError, match=r"cannot be followed: gone\. A retry begins anew"):
        turn_from_event({"nonce": "mine", "error": "gone."}, waiting)


def test_a_missing_workspace_is_an_event_not_a_crash(project: Any, held: Callable[[], None]) -> None:
    arguments = trigger_of(project).serialize()[1] | {"mlpipe_conn_id": "nowhere"}

    async def payload() -> Any:
        return [event.payload async for event in TurnTrigger(**arguments).run()]

    [event] = asyncio.run(payload())
    assert "no Airflow connection 'nowhere'" in event["error"]
