"""Asking for many jobs at once: all who follow jobs on one event loop share their questions, and their patience.

A thousand jobs that wait in one triggerer must neither open a thousand connections nor ask all in the same moment. So
time is cut into slots, whose width grows with the pause between two looks (a second for 30 s): all jobs of a target
that are due in the same slot are asked for in one call. Where they start is left to chance, so the calls spread evenly.
A place that does not answer, or that asks to be left alone, is left alone by all.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobState, JobStatus
from airflow_mlpipe.errors import MLPipeError, TransientComputeError

Answer = JobStatus | MLPipeError
"""What came of a question: a status, or why there is none; ``TransientComputeError`` means ask again."""

_T = TypeVar("_T")
_SLOTS_IN_A_PAUSE = 16
_SHORTEST_PAUSE = 0.02
_MOST_AT_ONCE = 64
_CALLS_AT_ONCE = 4
_HUNG = 60.0
"""Seconds after which a call counts as not answered."""
_FIRST_REST = 0.5
_LONGEST_REST = 60.0
_LONGEST_RETRY_AFTER = 3600.0


async def within(work: Coroutine[Any, Any, _T], seconds: float, target: ComputeTarget) -> _T:
    """Return what a call to a target gives; a call that takes too long is cancelled.

    Unlike :func:`asyncio.wait_for` before Python 3.12, it never swallows a cancellation.

    :raises TransientComputeError: if it takes longer than ``seconds``.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise TransientComputeError(f"{target.name} did not answer within {seconds:g} s.")
        return task.result()
    finally:
        task.cancel()


class Endpoint:
    """One place that is asked: how many calls may be under way, and until when it is left alone.

    :ivar gate: held by whoever asks for states.
    :ivar log_gate: held by whoever reads a log.
    """

    def __init__(self) -> None:
        self.gate = asyncio.Semaphore(_CALLS_AT_ONCE)
        self.log_gate = asyncio.Semaphore(_CALLS_AT_ONCE)
        self.quiet_until = 0.0
        self._failures = 0

    async def ask(self, target: ComputeTarget, handles: Sequence[JobHandle]) -> list[Answer]:
        """Return an answer for each job. Whatever a target does, nothing is raised."""
        try:
            answers = await within(target.status(handles), _HUNG, target)
        except TransientComputeError as error:
            return self._no_answer(error, handles)
        except Exception as error:  # noqa: BLE001 - a fault in a target's code must not end the watch over its jobs
            if len(handles) > 1:  # one job's fault is not its neighbours'
                return [(await self.ask(target, [handle]))[0] for handle in handles]
            if isinstance(error, MLPipeError):
                return [error]
            return self._no_answer(_strange(target, f"{type(error).__name__}: {error}"), handles)
        if not isinstance(answers, (list, tuple)) or len(answers) != len(handles):
            said = f"{len(answers)} of them" if isinstance(answers, (list, tuple)) else type(answers).__name__
            return self._no_answer(_strange(target, f"asked for {len(handles)} states, got {said}"), handles)
        self._failures = 0
        return [_understood(answer) for answer in answers]

    def _no_answer(self, error: TransientComputeError, handles: Sequence[JobHandle]) -> list[Answer]:
        rest = min(_FIRST_REST * 2.0**self._failures, _LONGEST_REST)
        if error.retry_after is not None and math.isfinite(error.retry_after):
            rest = max(rest, min(error.retry_after, _LONGEST_RETRY_AFTER))
        self._failures = min(self._failures + 1, 10)
        self.quiet_until = max(self.quiet_until, asyncio.get_running_loop().time() + rest)
        return [error] * len(handles)


class PollingHub:
    """The questions of one event loop; get it by :func:`polling_hub`."""

    def __init__(self) -> None:
        self._endpoints: defaultdict[str, Endpoint] = defaultdict(Endpoint)
        self._open: dict[tuple[int, float], _Call] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def endpoint(self, target: ComputeTarget) -> Endpoint:
        """Return what all targets with the same place share."""
        return self._endpoints[target.endpoint]

    async def look(
        self, target: ComputeTarget, handle: JobHandle, after: float, pause: float, patience: float | None
    ) -> Answer | None:
        """Return what is known of a job a little while from now.

        :param after: seconds to wait before asking.
        :param pause: usual seconds between two looks; the longer, the more jobs are waited for.
        :param patience: seconds to wait for the answer, ``after`` included; ``None`` for as long as it takes.
        :returns: ``None`` if the patience ran out first.
        """
        answer = self._call(target, after, pause).add(handle)
        try:
            done, _ = await asyncio.wait({answer}, timeout=patience)
            return answer.result() if done else None
        finally:
            answer.cancel()

    def _call(self, target: ComputeTarget, after: float, pause: float) -> _Call:
        """Return the call in which a job is asked for: the first one from its time on that has room."""
        loop = asyncio.get_running_loop()
        due = loop.time() + after
        rest = self.endpoint(target).quiet_until
        if due < rest:
            due = rest + random.uniform(0, pause)  # noqa: S311 - so that not all come back in the same moment
        width = 2.0 ** math.floor(math.log2(max(pause, _SHORTEST_PAUSE) / _SLOTS_IN_A_PAUSE))
        moment = math.ceil(due / width) * width
        while (call := self._open.get((id(target), moment))) is not None and call.full:
            moment += width
        if call is None:
            call = self._open[id(target), moment] = _Call(target)
            loop.call_at(moment, self._begin, (id(target), moment))
        return call

    def _begin(self, key: tuple[int, float]) -> None:
        task = asyncio.get_running_loop().create_task(self._ask(self._open.pop(key)))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, call: _Call) -> None:
        endpoint = self.endpoint(call.target)
        async with endpoint.gate:
            asked = call.asked()
            answers = await endpoint.ask(call.target, [handle for _, handle in asked]) if asked else []
        for (future, _), answer in zip(asked, answers, strict=True):
            if not future.done():
                future.set_result(answer)


class _Call:
    """One question about the jobs of one target that are due at the same time."""

    def __init__(self, target: ComputeTarget) -> None:
        self.target = target
        self._asked: list[tuple[asyncio.Future[Answer], JobHandle]] = []

    @property
    def full(self) -> bool:
        return len(self._asked) >= _MOST_AT_ONCE

    def add(self, handle: JobHandle) -> asyncio.Future[Answer]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked.append((future, handle))
        return future

    def asked(self) -> list[tuple[asyncio.Future[Answer], JobHandle]]:
        """Return those who still want to know."""
        return [(future, handle) for future, handle in self._asked if not future.done()]


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, PollingHub] = WeakKeyDictionary()


def polling_hub() -> PollingHub:
    """Return the hub of the running event loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), PollingHub())


async def status_of(target: ComputeTarget, handle: JobHandle) -> JobStatus:
    """Return what is known of a job now; an answer that nobody understands means that it is alive.

    :raises TransientComputeError: if there is no answer.
    :raises ComputeError: if the target says for good that it cannot be asked.
    """
    answer = await polling_hub().look(target, handle, after=0.0, pause=0.0, patience=None)
    if isinstance(answer, JobStatus):
        return answer
    raise answer if answer is not None else TransientComputeError(f"{target.name} did not answer.")


def _strange(target: ComputeTarget, said: str) -> TransientComputeError:
    return TransientComputeError(f"{target.name} gave an answer that makes no sense: {said[:200]}")


def _understood(answer: object) -> JobStatus:
    """Return a status; what nobody understands means that the job is alive, never that it ended."""
    if isinstance(answer, JobStatus) and isinstance(answer.state, JobState):
        return answer
    said = answer.state if isinstance(answer, JobStatus) else answer
    return JobStatus(JobState.RUNNING, raw=(said if isinstance(said, str) and said else repr(said))[:200])
