"""Sixty answers that no target should give: the job is followed on, never doubled, and nobody sees a traceback."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_mlpipe.compute.base import JobState, JobStatus
from airflow_mlpipe.errors import StepFailedError, TransientComputeError
from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace
from tests.execution.conftest import command_step, make_workspace
from tests.execution.faulty import FaultyTarget

HTML = "<html><head><title>502 Bad Gateway</title></head></html>"
WORDS = [
    "PENDING",
    "pending",
    "Succeeded",
    "SUCCEEDED",
    "succeeded",
    "FAILED",
    "failed",
    "cancelled",
    "WAITING_FOR_RETRY",
]
WORDS += ["BLOCKED", "recovering", "", " ", "\x00", "Läuft", "lost", "null", "None", "0", "x" * 100_000, HTML]
VALUES: list[object] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    3.5,
    float("nan"),
    b"running",
    {},
    {"state": "running"},
    [],
    ["running"],
]
VALUES += [{"status": None}, {"error": {"code": 500}}, HTML, object()]
WHOLE: list[object] = [
    None,
    {},
    "",
    HTML,
    204,
    [],
    (),
    {"jobs": []},
    lambda truth: truth * 2,
    lambda truth: iter(truth),
]
ERRORS: list[BaseException] = [
    KeyError("status"),
    TypeError("'NoneType' object is not subscriptable"),
    AttributeError("state"),
    IndexError("list index out of range"),
    json.JSONDecodeError("Expecting value", HTML, 0),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    RecursionError("maximum recursion depth exceeded"),
    ConnectionResetError(104, "Connection reset by peer"),
    OSError(5, "Input/output error"),
    TimeoutError(),
    TransientComputeError("503 Service Unavailable", retry_after=0.1),
    TransientComputeError("429 Too Many Requests", retry_after=float("nan")),
]
CASES: list[tuple[str, object]] = [
    *((f"word {word[:20]!r}", [JobStatus(word)]) for word in WORDS),  # type: ignore[arg-type]
    *((f"value {value!r}"[:40], [value]) for value in VALUES),
    *((f"whole {value!r}"[:40], value) for value in WHOLE),
    *((f"error {error!r}"[:40], error) for error in ERRORS),
]


class Followed:
    """A step whose job is followed through strange answers."""

    def __init__(self, workspace: Workspace, target: FaultyTarget, run: RunInfo) -> None:
        self.workspace, self.target, self.run = workspace, target, run
        self.lines: list[str] = []
        self.said: list[str] = []
        self.step = command_step(command="echo one; echo two > ${{outputs.model}}/m", is_deterministic=False)

    def begin(self) -> StepRecord | Ticket | Any:
        return begin(self.workspace, self.step, self.run, 0)

    def to_the_end(self, ticket: Ticket) -> StepRecord:
        polling = Polling(0.05, deadline=time.time() + 60)
        work = watch(self.target, ticket.handle, polling, self.lines.append, say=self.said.append)
        status, _ = asyncio.run(work)
        assert status is not None
        return finish(self.workspace, self.step, self.run, ticket, status)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, FaultyTarget]]:
    workspace = make_workspace(tmp_path_factory.mktemp("strange"))
    target = FaultyTarget()
    workspace._targets["local"] = target
    yield workspace, target
    target.close()


@pytest.fixture
def followed(shop: tuple[Workspace, FaultyTarget], new_run: Callable[..., RunInfo], request: Any) -> Followed:
    shop[1].submissions.clear()
    shop[1].script.clear()
    shop[1].lose_replies = 0
    return Followed(*shop, new_run(request.node.name))


def test_there_are_at_least_sixty() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("answer", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_a_strange_answer_neither_ends_nor_doubles_the_job(
    answer: object, followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = followed.begin()
    followed.target.script = [answer, answer]
    with caplog.at_level(logging.DEBUG):
        record = followed.to_the_end(ticket)
    assert record.decision == "ran"
    assert followed.lines == ["one"]
    assert len(followed.target.submissions) == 1
    assert len(followed.said) == 1, "said once, however often it came"
    assert len(followed.said[0]) < 400
    assert not any(entry.exc_info for entry in caplog.records)
    assert "Traceback" not in caplog.text + "".join(followed.said)


@pytest.mark.parametrize("answer", [[None], [JobStatus("WAITING_FOR_RETRY")], [JobStatus("")]])  # type: ignore[arg-type]
def test_a_retry_that_meets_a_strange_answer_adopts(answer: object, followed: Followed) -> None:
    first = followed.begin()
    followed.target.script = [answer]
    again = followed.begin()
    assert isinstance(again, Ticket)
    assert again.handle == first.handle
    assert followed.to_the_end(again).decision == "ran"
    assert len(followed.target.submissions) == 1


@pytest.mark.parametrize("answer", ["no list", KeyError("status"), TransientComputeError("503")])
def test_a_retry_without_an_answer_fails_and_the_next_one_adopts(answer: object, followed: Followed) -> None:
    first = followed.begin()
    followed.target.script = [answer]
    with pytest.raises(TransientComputeError):
        followed.begin()
    again = followed.begin()
    assert again.handle == first.handle
    followed.to_the_end(again)
    assert len(followed.target.submissions) == 1


def test_lost_replies_make_no_second_job(followed: Followed, new_run: Callable[..., RunInfo]) -> None:
    for number in range(20):
        followed.run = new_run(f"lost-{number}")
        followed.target.lose_replies = 1
        with pytest.raises(TransientComputeError):
            followed.begin()
        ticket = followed.begin()
        assert isinstance(ticket, Ticket)
        followed.to_the_end(ticket)
    assert len(followed.target.submissions) == 20


def test_each_change_is_said_once(followed: Followed) -> None:
    followed.step = command_step(command="sleep 1; echo > ${{outputs.model}}/m", is_deterministic=False)
    ticket = followed.begin()
    blocked, waiting = [JobStatus(JobState.QUEUED, raw="BLOCKED")], [JobStatus(JobState.RUNNING, raw="WAITING")]
    followed.target.script = [blocked, blocked, waiting, waiting, waiting, blocked, [JobStatus(JobState.RUNNING)]]
    followed.to_the_end(ticket)
    assert followed.said == [
        "local says 'BLOCKED'; the job counts as queued",
        "local says 'WAITING'; the job counts as running",
        "local says 'BLOCKED'; the job counts as queued",
    ]


def test_a_lost_job_fails_once_and_is_not_submitted_in_silence(followed: Followed) -> None:
    ticket = followed.begin()
    followed.target.script = [[JobStatus(JobState.LOST, "nobody knows it")]]
    with pytest.raises(StepFailedError, match="nobody knows it"):
        followed.to_the_end(ticket)
    assert len(followed.target.submissions) == 1
