"""Following many jobs: asked for together, left alone when they wish it, ended in time, and never ended by chance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.compute.base import JobHandle, JobSpec, JobState, JobStatus, LogChunk
from airflow_mlpipe.errors import ComputeError, TransientComputeError
from airflow_mlpipe.execution.hub import polling_hub, status_of
from airflow_mlpipe.execution.lifecycle import abandon, begin
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.testing.jobs import unique_key
from tests.execution.conftest import command_step, make_workspace
from tests.execution.faulty import HANG, FaultyTarget


@pytest.fixture
def target() -> Iterator[FaultyTarget]:
    target = FaultyTarget()
    yield target
    target.close()


async def start(target: FaultyTarget, command: str = "sleep 60", count: int = 1) -> list[JobHandle]:
    return [await target.submit(JobSpec(command), unique_key()) for _ in range(count)]


def handles(count: int) -> list[JobHandle]:
    """Return handles of jobs that are not there; a target that answers by script does not look."""
    return [JobHandle("local", f"mlp-{number}", str(number)) for number in range(count)]


class Scripted(FaultyTarget):
    """Says the same of every job, without looking."""

    state = JobState.RUNNING

    async def status(self, handles: Any) -> list[JobStatus]:
        self.calls.append((asyncio.get_running_loop().time(), list(handles)))
        if self.script:
            raise self.script.pop(0)  # type: ignore[misc]
        return [JobStatus(self.state) for _ in handles]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    target = Scripted()
    yield target
    target.close()


def test_a_thousand_jobs_share_a_few_calls_spread_over_the_interval(scripted: Scripted) -> None:
    async def case() -> None:
        polling = Polling(interval=4.0, give_up_after=4.0, eager=False)
        await asyncio.gather(*(watch(scripted, handle, polling) for handle in handles(1000)))

    asyncio.run(case())
    first: dict[str, float] = {}
    for moment, asked in scripted.calls:
        for handle in asked:
            first.setdefault(handle.key, moment)
    assert len(first) == 1000, "each was looked at"
    assert 16 <= len(scripted.calls) <= 100, "neither all at once nor one call for each job"
    assert len(set(first.values())) >= 16, "spread over the interval"
    assert max(len(asked) for _, asked in scripted.calls) <= 64


def test_one_job_alone_is_asked_for_at_once_and_alone(target: FaultyTarget) -> None:
    async def case() -> JobStatus | None:
        [handle] = await start(target, "true")
        return (await watch(target, handle, Polling(0.05)))[0]

    status = asyncio.run(case())
    assert status is not None
    assert status.state is JobState.SUCCEEDED
    assert all(len(asked) == 1 for _, asked in target.calls)


def test_a_place_that_wants_to_be_left_alone_is_left_alone_by_all(scripted: Scripted) -> None:
    scripted.script = [TransientComputeError("429", retry_after=1.5)]

    async def case() -> None:
        polling = Polling(interval=0.2, give_up_after=2.5)
        await watch(scripted, handles(1)[0], polling)
        await asyncio.gather(*(watch(scripted, handle, Polling(0.2, give_up_after=0.5)) for handle in handles(20)))

    asyncio.run(case())
    moments = [moment for moment, _ in scripted.calls]
    assert moments[1] - moments[0] >= 1.5
    assert len(moments) > 2, "asked again afterwards"


def test_without_a_wish_the_rest_grows_and_ends_with_the_first_answer(scripted: Scripted) -> None:
    scripted.script = [TransientComputeError("503") for _ in range(3)]
    asyncio.run(watch(scripted, handles(1)[0], Polling(interval=0.1, give_up_after=5)))
    moments = [moment for moment, _ in scripted.calls]
    rests = [later - sooner for sooner, later in pairwise(moments)]
    assert [rest >= least for rest, least in zip(rests[:3], (0.5, 1, 2), strict=True)] == [True] * 3
    assert min(rests[3:]) < 0.5, "back to the usual pace"


def test_one_jobs_fault_is_not_its_neighbours(target: FaultyTarget) -> None:
    class Picky(FaultyTarget):
        async def status(self, handles: Any) -> list[JobStatus]:
            if any(handle.key == "mlp-1" for handle in handles):
                raise ComputeError("this one I do not speak of")
            return [JobStatus(JobState.SUCCEEDED) for _ in handles]

    picky = Picky()

    async def case() -> list[Any]:
        polling = Polling(interval=0.5, eager=False)
        work = (watch(picky, handle, polling) for handle in handles(30))
        return await asyncio.gather(*work, return_exceptions=True)

    results = asyncio.run(case())
    assert [number for number, result in enumerate(results) if isinstance(result, ComputeError)] == [1]
    assert all(result[0].state is JobState.SUCCEEDED for number, result in enumerate(results) if number != 1)
    picky.close()


def test_the_deadline_holds_while_the_poll_hangs(target: FaultyTarget) -> None:
    async def case() -> tuple[JobStatus | None, JobHandle]:
        [handle] = await start(target, "trap '' TERM; (trap '' TERM; sleep 60) & sleep 60")
        target.script = [HANG] * 9
        return (await watch(target, handle, Polling(0.1, deadline=time.time() + 1)))[0], handle

    began = time.monotonic()
    status, handle = asyncio.run(case())
    assert time.monotonic() - began < 30
    assert status is not None
    assert status.message == "It did not end within its timeout and was cancelled."
    target.script = []
    assert asyncio.run(status_of(target, handle)).state is JobState.CANCELLED


def test_a_job_that_cannot_be_cancelled_at_its_deadline_is_reported(target: FaultyTarget) -> None:
    class Unreachable(FaultyTarget):
        async def cancel(self, handle: JobHandle, grace: float = 10.0) -> None:
            raise TransientComputeError("no route to host")

    far = Unreachable()

    async def case() -> JobStatus | None:
        [handle] = await start(far)
        return (await watch(far, handle, Polling(0.1, deadline=time.time() + 0.2)))[0]

    status = asyncio.run(case())
    assert status is not None
    assert "no route to host" in status.message
    assert "mlpipe sweep" in status.message
    far.close()


def test_a_job_that_ended_before_its_deadline_passed_unseen_has_ended_well(target: FaultyTarget) -> None:
    async def case() -> JobStatus | None:
        [handle] = await start(target, "true")
        await watch(target, handle, Polling(0.05))
        return (await watch(target, handle, Polling(0.05, deadline=time.time() - 60, eager=False)))[0]

    status = asyncio.run(case())
    assert status is not None
    assert status.state is JobState.SUCCEEDED


def test_cancelling_one_watcher_cancels_neither_a_job_nor_the_others(target: FaultyTarget) -> None:
    async def case() -> tuple[list[JobStatus], JobStatus | None]:
        running = await start(target, count=3)
        [short] = await start(target, "sleep 1")
        polling = Polling(0.2, eager=False)
        watchers = [asyncio.ensure_future(watch(target, handle, polling)) for handle in running]
        other = asyncio.ensure_future(watch(target, short, polling))
        await asyncio.sleep(0.5)
        for watcher in watchers:
            watcher.cancel()
        ends = await asyncio.gather(*watchers, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        return await target.status(running), (await other)[0]

    states, end = asyncio.run(case())
    assert [status.state for status in states] == [JobState.RUNNING] * 3
    assert end is not None
    assert end.state is JobState.SUCCEEDED


def test_a_log_is_read_when_there_is_something_to_read_and_at_the_end(target: FaultyTarget) -> None:
    lines: list[str] = []

    async def case() -> None:
        [handle] = await start(target, "echo one; sleep 2; echo two; printf three")
        await watch(target, handle, Polling(0.1, deadline=time.time() + 60), lines.append)

    asyncio.run(case())
    assert lines == ["one", "two", "three"]
    assert target.log_calls < 6 < len(target.calls)


@pytest.mark.parametrize("fault", [TransientComputeError("reset"), KeyError("data"), HANG])
def test_a_log_that_cannot_be_read_holds_up_nothing(
    fault: object, target: FaultyTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_mlpipe.execution.watch._LOG_PATIENCE", 0.3)
    monkeypatch.setattr("airflow_mlpipe.execution.watch._LAST_LINES_PATIENCE", 0.3)
    target.log_script = [fault] * 200
    said: list[str] = []

    async def case() -> JobStatus | None:
        [handle] = await start(target, "echo one; sleep 0.5")
        return (await watch(target, handle, Polling(0.1), print, say=said.append))[0]

    status = asyncio.run(case())
    assert status is not None
    assert status.state is JobState.SUCCEEDED
    assert said
    assert all("the log of" in line for line in said)


def test_a_job_that_writes_without_end_is_still_looked_at(target: FaultyTarget) -> None:
    class Chatty(Scripted):
        async def logs(self, handle: JobHandle, cursor: str | None = None, limit: int = 65536) -> LogChunk:
            offset = int(cursor or 0)
            return LogChunk(b"x" * (limit - 1) + b"\n", str(offset + limit), eof=False)

    chatty = Chatty()
    lines: list[str] = []
    asyncio.run(watch(chatty, handles(1)[0], Polling(0.05, give_up_after=0.5), lines.append))
    assert len(chatty.calls) > 1
    chatty.close()


def test_a_hub_belongs_to_its_loop() -> None:
    async def hub() -> int:
        assert polling_hub() is polling_hub()
        return id(polling_hub())

    assert asyncio.run(hub())


def test_a_kill_asks_again_while_the_target_cannot_be_reached(tmp_path: Path, new_run: Callable[..., RunInfo]) -> None:
    class Flaky(FaultyTarget):
        misses = 3

        async def cancel(self, handle: JobHandle, grace: float = 10.0) -> None:
            if self.misses:
                self.misses -= 1
                raise TransientComputeError("connection refused")
            await super().cancel(handle, grace)

    workspace = make_workspace(tmp_path)
    target = workspace._targets["local"] = Flaky()
    ticket = begin(workspace, command_step(command="sleep 60"), new_run(), 0)
    assert isinstance(ticket, Ticket)
    abandon(workspace, command_step(), new_run(), ticket)
    assert asyncio.run(status_of(target, ticket.handle)).state is JobState.CANCELLED
    assert workspace.runs.jobs("demo", "r1", "train")[0].ended == "cancelled"
    target.close()
