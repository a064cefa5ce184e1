"""Waiting for jobs in the triggerer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_mlpipe.compute.base import JobState, JobStatus
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.triggers.job import JobTrigger, event_of, status_from_event
from airflow_mlpipe.triggers.workspaces import shared_workspace

pytestmark = pytest.mark.airflow


@pytest.fixture
def start(project: Any) -> Any:
    """Return a function that submits a command and returns its trigger; jobs are ended afterwards."""
    hook = MLPipeHook(folder=project.folder / "dags")
    tickets: list[Ticket] = []

    def submit(command: str, deadline: float | None = None) -> JobTrigger:
        ticket = hook.submit(Step(name="a", command=command), RunInfo("p", f"r{len(tickets)}", {}, {}, project.folder))
        assert isinstance(ticket, Ticket)
        tickets.append(ticket)
        polling = {"interval": 0.1, "deadline": deadline}
        job = {"pipeline": "p", "run_id": f"r{len(tickets) - 1}", "step": "a"}
        return JobTrigger("mlpipe_default", str(project.folder / "dags"), job, ticket.to_json(), polling)

    yield submit
    for ticket in tickets:
        hook.cancel(ticket.handle, grace=0)


async def payloads(trigger: JobTrigger) -> list[Any]:
    return [event.payload async for event in trigger.run()]


def state(project: Any, trigger: JobTrigger) -> JobState:
    return MLPipeHook(folder=project.folder / "dags").status(trigger.ticket.handle).state


def test_it_survives_airflows_database(start: Any) -> None:
    trigger = start("true")
    name, arguments = trigger.serialize()
    again = JobTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (name, arguments)


def test_it_fires_the_final_status_and_streams_the_log(start: Any, task_log: Callable[[], str]) -> None:
    [event] = asyncio.run(payloads(start("echo one; sleep 1; echo two; exit 3")))
    assert (event["state"], event["exit_code"]) == ("failed", 3)
    assert status_from_event(event).state is JobState.FAILED
    assert [line for line in task_log().splitlines() if line.startswith("| ")] == ["| one", "| two"]


def test_the_log_goes_on_at_the_cursor(start: Any, task_log: Callable[[], str]) -> None:
    trigger = start("echo one")
    asyncio.run(payloads(trigger))
    again = JobTrigger(**trigger.serialize()[1])
    asyncio.run(payloads(again))
    assert task_log().count("| one") == 1


def test_a_restart_of_the_triggerer_cancels_nothing(project: Any, start: Any) -> None:
    trigger = start("sleep 60")

    async def restart() -> None:
        running = asyncio.ensure_future(payloads(trigger))
        await asyncio.sleep(0.5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await trigger.cleanup()

    asyncio.run(restart())
    assert not state(project, trigger).is_terminal


def test_a_kill_ends_its_own_job_and_no_other(project: Any, start: Any, wait_until: Callable[..., Any]) -> None:
    mine, other = start("sleep 60 & sleep 60"), start("sleep 60 # other")
    asyncio.run(mine.on_kill())
    wait_until(lambda: state(project, mine).is_terminal)
    assert not state(project, other).is_terminal
    job = MLPipeHook(folder=project.folder / "dags").get_workspace().runs.jobs("p", "r0", "a")[-1]
    assert job.ended == "cancelled"


def test_the_deadline_ends_the_job(project: Any, start: Any, wait_until: Callable[..., Any]) -> None:
    trigger = start("sleep 60", deadline=0.0)
    [event] = asyncio.run(payloads(trigger))
    assert event["state"] == "failed"
    assert "did not end within its timeout" in event["message"]
    wait_until(lambda: state(project, trigger).is_terminal)


def test_a_missing_workspace_is_an_event_not_a_crash(start: Any) -> None:
    arguments = start("true").serialize()[1] | {"mlpipe_conn_id": "nowhere"}
    [event] = asyncio.run(payloads(JobTrigger(**arguments)))
    assert "no Airflow connection 'nowhere'" in event["error"]


def test_many_triggers_share_one_workspace(project: Any) -> None:
    async def gather() -> list[Any]:
        folder = str(project.folder / "dags")
        return await asyncio.gather(*(shared_workspace("mlpipe_default", folder) for _ in range(50)))

    assert len({id(workspace) for workspace in asyncio.run(gather())}) == 1


def test_a_failed_look_up_is_not_remembered(project: Any) -> None:
    spec = project.folder / "dags" / "workspace.yml"
    good = spec.read_text()

    async def twice() -> str:
        spec.write_text("nam: x")
        with pytest.raises(Exception, match="nam"):
            await shared_workspace("mlpipe_default", str(spec.parent))
        spec.write_text(good)
        return (await shared_workspace("mlpipe_default", str(spec.parent))).name

    assert asyncio.run(twice()) == "test"


def test_a_status_without_an_end_makes_no_event() -> None:
    with pytest.raises(TypeError, match="has not ended"):
        event_of("k", None)
    status = JobStatus(JobState.CANCELLED, "stopped", None, "x", (), 1.5)
    assert status_from_event(event_of("k", status)) == status
