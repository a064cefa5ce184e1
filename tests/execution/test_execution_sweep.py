"""Jobs that nobody owns are ended; jobs of a living run never are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlpipe.compute.base import JobHandle, JobState
from airflow_mlpipe.errors import StepFailedError, StoreError, TransientComputeError
from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.hub import status_of
from airflow_mlpipe.execution.lifecycle import abandon, begin
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.sweep import sweep
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.testing.jobs import unique_key
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace
from tests.execution.conftest import command_step, make_workspace
from tests.execution.faulty import HANG, FaultyTarget

LONG = "trap '' TERM; (trap '' TERM; sleep 61) & sleep 60"


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    workspace = make_workspace(tmp_path, target="local")
    yield workspace
    target = workspace.compute("local")
    for folder in (tmp_path / "jobs").glob("mlp-*"):
        asyncio.run(target.cancel(JobHandle("local", folder.name, folder.name), grace=0))


def start(workspace: Workspace, run: RunInfo, command: str = LONG, epoch: int = 0) -> Ticket:
    begun = begin(workspace, command_step(command=command, is_deterministic=False), run, epoch)
    assert isinstance(begun, Ticket)
    return begun


def state(workspace: Workspace, ticket: Ticket) -> JobState:
    return asyncio.run(status_of(workspace.compute(ticket.handle.target), ticket.handle)).state


def outcomes(swept: list[Any]) -> list[tuple[str, str]]:
    return [(item.outcome, item.why) for item in swept]


def over(_pipeline: str, _run_id: str, _step: str) -> bool | None:
    return True


def test_a_running_job_is_left_alone_when_nothing_is_known_of_its_task(
    shop: Workspace, new_run: Callable[..., RunInfo]
) -> None:
    ticket = start(shop, new_run())
    assert sweep(shop, grace=0) == []
    assert sweep(shop, lambda *_: False, grace=0) == []
    assert state(shop, ticket) is JobState.RUNNING


def test_a_job_whose_task_is_over_is_ended_with_all_its_processes(
    shop: Workspace, new_run: Callable[..., RunInfo]
) -> None:
    ticket = start(shop, new_run())
    assert outcomes(sweep(shop, over, dry_run=True)) == [("would cancel", "its task is over")]
    assert state(shop, ticket) is JobState.RUNNING
    [item] = sweep(shop, over, grace=0)
    assert (item.outcome, item.key, item.step) == ("cancelled", ticket.handle.key, "train")
    assert state(shop, ticket) is JobState.CANCELLED
    assert shop.runs.jobs("demo", "r1", "train")[0].ended == "cancelled"
    assert sweep(shop, over, grace=0) == []


def test_a_job_whose_record_was_closed_but_that_could_not_be_cancelled_is_ended(
    shop: Workspace, new_run: Callable[..., RunInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    ticket = start(shop, run)

    async def unreachable(*_: Any, **__: Any) -> None:
        raise TransientComputeError("no route to host")

    monkeypatch.setattr("airflow_mlpipe.execution.lifecycle._CANCEL_PATIENCE", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(type(shop.compute("local")), "cancel", unreachable)
        with pytest.raises(TransientComputeError):
            abandon(shop, command_step(), run, ticket)
        [item] = sweep(shop, grace=0)
        assert (item.outcome, item.detail) == ("not reached", "no route to host")
    assert outcomes(sweep(shop, grace=0)) == [("cancelled", "its record says cancelled")]
    assert state(shop, ticket) is JobState.CANCELLED


def test_a_job_that_a_later_one_replaced_is_ended_and_the_later_one_is_not(
    shop: Workspace, new_run: Callable[..., RunInfo]
) -> None:
    run = new_run()
    first = start(shop, run)
    [job] = shop.runs.jobs("demo", "r1", "train")
    later = replaced(job, ordinal=2, key=unique_key(), handle=None)
    assert shop.runs.create_job("demo", "r1", "train", later)
    assert outcomes(sweep(shop, grace=0)) == [("cancelled", "a later job of the same step was begun")]
    assert state(shop, first) is JobState.CANCELLED
    assert [item.ended for item in shop.runs.jobs("demo", "r1", "train")] == ["cancelled", None]


def test_a_retry_after_a_failure_is_a_living_run(shop: Workspace, new_run: Callable[..., RunInfo]) -> None:
    run = new_run()
    first = start(shop, run, "exit 3")
    status, _ = asyncio.run(watch(shop.compute("local"), first.handle, Polling(0.05)))
    assert status is not None
    with pytest.raises(StepFailedError, match="exit code 3"):
        finish(shop, command_step(), run, first, status)
    second = start(shop, run)
    assert sweep(shop, grace=0) == []
    assert state(shop, second) is JobState.RUNNING


def test_what_somebody_takes_up_between_the_two_looks_is_spared(
    shop: Workspace, new_run: Callable[..., RunInfo]
) -> None:
    ticket = start(shop, new_run())
    answers = iter([True, False])
    [item] = sweep(shop, lambda *_: next(answers), grace=0)
    assert item.outcome == "spared"
    assert state(shop, ticket) is JobState.RUNNING


def test_what_ends_between_the_two_looks_has_ended_by_itself(shop: Workspace, new_run: Callable[..., RunInfo]) -> None:
    ticket = start(shop, new_run(), "sleep 0.5")
    [item] = sweep(shop, over, grace=3)
    assert item.outcome == "ended by itself"
    assert state(shop, ticket) is JobState.SUCCEEDED


def test_a_job_of_a_strange_key_or_of_no_record_is_never_touched(
    shop: Workspace, new_run: Callable[..., RunInfo]
) -> None:
    from airflow_mlpipe.compute.base import JobSpec

    foreign = asyncio.run(shop.compute("local").submit(JobSpec("sleep 60"), unique_key()))
    mine = start(shop, new_run())
    [job] = shop.runs.jobs("demo", "r1", "train")
    shop.runs.write_job("demo", "r1", "train", replaced(job, handle=foreign.to_json(), ended="lost"))
    assert sweep(shop, over, grace=0) == []
    assert asyncio.run(status_of(shop.compute("local"), foreign)).state is JobState.RUNNING
    assert state(shop, mine) is JobState.RUNNING


def test_two_sweepers_at_once_end_each_job_once(shop: Workspace, new_run: Callable[..., RunInfo]) -> None:
    tickets = [start(shop, new_run(f"r{number}"), "sleep 60") for number in range(4)]
    living = start(shop, new_run("living"), "sleep 60")
    found: list[Any] = []

    def one() -> None:
        found.extend(sweep(shop, lambda _, run_id, __: run_id != "living", grace=0.5))

    sweepers = [threading.Thread(target=one) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    for sweeper in sweepers:
        sweeper.join()
    assert {item.outcome for item in found} <= {"cancelled", "ended by itself"}
    assert {state(shop, ticket) for ticket in tickets} == {JobState.CANCELLED}
    assert state(shop, living) is JobState.RUNNING


def test_a_damaged_record_stops_everything(shop: Workspace, new_run: Callable[..., RunInfo]) -> None:
    ticket = start(shop, new_run())
    [path] = (shop.folder / "store").rglob("jobs/demo/r1/train/*.json")
    path.write_text("{}")
    with pytest.raises(StoreError, match="damaged"):
        sweep(shop, over, grace=0)
    assert state(shop, ticket) is JobState.RUNNING


EVENTS = st.lists(st.sampled_from(["begin", "clear", "sweep", "kill", "lose", "end", "close"]), max_size=8)


class History:
    """One step of one run through any events; the job of a living task must never be ended by a sweep."""

    def __init__(self, workspace: Workspace, run: RunInfo) -> None:
        self.workspace, self.run, self.epoch = workspace, run, 0
        self.target = workspace.compute("local")
        assert isinstance(self.target, FaultyTarget)
        self.owned: Ticket | None = None

    def check_after(self, event: str) -> None:
        getattr(self, f"_{event}")()
        if self.owned is not None:
            assert state(self.workspace, self.owned) is not JobState.CANCELLED, f"{event} ended a job that is owned"

    def _begin(self) -> None:
        begun = begin(self.workspace, command_step(command="sleep 60", is_deterministic=False), self.run, self.epoch)
        self.owned = None if isinstance(begun, StepRecord) else begun  # type: ignore[assignment]

    def _clear(self) -> None:
        self.epoch += 1
        self._begin()

    def _sweep(self) -> None:
        sweep(self.workspace, lambda *_: self.owned is None, grace=0)
        if self.owned is None:
            jobs = self.workspace.runs.jobs("demo", self.run.run_id, "train")
            handles = [JobHandle.from_json(job.handle) for job in jobs if job.handle]
            states = asyncio.run(self.target.status(handles))
            assert all(status.state.is_terminal for status in states), "a sweep left a job that nobody owns"

    def _kill(self) -> None:
        if self.owned is not None:
            abandon(self.workspace, command_step(), self.run, self.owned)
        self.owned = None

    def _lose(self) -> None:
        """Worker and triggerer vanish, and the task is marked failed."""
        self.owned = None

    def _end(self) -> None:
        if self.owned is not None:
            asyncio.run(self.target.cancel(self.owned.handle, grace=0))
            self._finish()

    def _finish(self) -> None:
        assert self.owned is not None
        status = asyncio.run(status_of(self.target, self.owned.handle))
        with pytest.raises(StepFailedError):
            finish(self.workspace, command_step(), self.run, self.owned, status)
        self.owned = None

    def _close(self) -> None:
        """The record is closed, the job is not reached."""
        if self.owned is not None:
            jobs = self.workspace.runs.jobs("demo", self.run.run_id, "train")
            self.workspace.runs.write_job("demo", self.run.run_id, "train", replaced(jobs[-1], ended="cancelled"))
        self.owned = None


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=EVENTS)
def test_whatever_happens_only_jobs_without_an_owner_are_ended(
    events: list[str], tmp_path_factory: pytest.TempPathFactory, new_run: Callable[..., RunInfo]
) -> None:
    workspace = make_workspace(tmp_path_factory.mktemp("history"))
    target = workspace._targets["local"] = FaultyTarget()
    history = History(workspace, new_run())
    try:
        for event in ["begin", *events, "sweep"]:
            history.check_after(event)
    finally:
        target.close()


def test_a_target_that_hangs_is_asked_for_all_its_jobs_at_once(
    tmp_path: Path, new_run: Callable[..., RunInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_mlpipe.execution.hub._HUNG", 0.5)
    workspace = make_workspace(tmp_path)
    target = workspace._targets["local"] = FaultyTarget()
    tickets = [start(workspace, new_run(f"r{number}"), "sleep 60") for number in range(5)]
    target.script = [HANG] * 100
    target.calls.clear()
    swept = sweep(workspace, over, grace=0)
    assert [item.outcome for item in swept] == ["not reached"] * 5
    assert len(target.calls) <= 2, "together, and not one after the other"
    target.script = []
    assert {state(workspace, ticket) for ticket in tickets} == {JobState.RUNNING}
    target.close()
