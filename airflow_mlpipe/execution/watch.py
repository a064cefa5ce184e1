"""Following a job to its end: one coroutine for the worker, the triggerer and the laptop."""

from __future__ import annotations

import asyncio
import codecs
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobState, JobStatus
from airflow_mlpipe.errors import ComputeError, MLPipeError, TransientComputeError
from airflow_mlpipe.execution.hub import polling_hub, within
from airflow_mlpipe.execution.run_info import Say, silent

_FIRST_PAUSE = 0.05
_GROWTH = 1.5
_LAST_LOOK = 5.0
"""Seconds that a look may take when the deadline has passed already: the job may have ended in time."""
_CANCEL_GRACE = 5.0
_CANCEL_PATIENCE = 25.0
_CHUNK = 65536
_CHUNKS_AT_ONCE = 16
"""A job that writes faster than it is read must not keep us from looking at its state."""
_LOG_PATIENCE = 30.0
_LAST_LINES_PATIENCE = 300.0
_TRIES_AT_LAST_LINES = 3

OnLog = Callable[[str], None]
"""Takes one whole line of the job's output, without its line end."""


@dataclass(frozen=True)
class Polling:
    """How patiently to follow a job.

    :param interval: seconds between two looks, once the job has shown that it takes long; the first looks come sooner.
    :param deadline: UNIX time after which the job is cancelled and counts as failed. Airflow does not enforce
        ``execution_timeout`` while a task is deferred, so the deadline is ours to keep.
    :param give_up_after: seconds after which to return without a result (to defer, for example).
    :param eager: look at once. Otherwise the job is known to take long: the first look comes at a random moment of the
        first interval, so that a triggerer that starts with a thousand jobs does not ask for all of them at once.
    """

    interval: float = 5.0
    deadline: float | None = None
    give_up_after: float | None = None
    eager: bool = True


class _LogFollower:
    """Turns chunks of bytes into whole lines, however the chunks were cut."""

    def __init__(self, on_log: OnLog | None, cursor: str | None) -> None:
        self.cursor = cursor
        self._on_log = on_log
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    async def read(self, target: ComputeTarget, handle: JobHandle, status: JobStatus) -> None:
        """Hand on what the job has written so far, if there is anything new; all of it once the job has ended."""
        if self._on_log is None:
            return
        ended = status.state.is_terminal
        if not ended and self.cursor is not None and status.log_end == self.cursor:
            return
        chunks = 0
        while ended or chunks < _CHUNKS_AT_ONCE:
            async with polling_hub().endpoint(target).log_gate:
                chunk = await target.logs(handle, self.cursor, _CHUNK)
            chunks += 1
            stuck = chunk.cursor == self.cursor
            self.cursor = chunk.cursor
            self._hand_on(chunk.data)
            if stuck or not chunk.data or chunk.eof or (not ended and len(chunk.data) < _CHUNK):
                return

    def _hand_on(self, data: bytes) -> None:
        if self._on_log is not None:
            *lines, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
            for line in lines:
                self._on_log(line.rstrip("\r"))

    def end(self) -> None:
        """Hand on a last line that has no line end."""
        if self._on_log is not None and self._rest:
            self._on_log(self._rest)
            self._rest = ""


async def watch(
    target: ComputeTarget,
    handle: JobHandle,
    polling: Polling,
    on_log: OnLog | None = None,
    cursor: str | None = None,
    say: Say = silent,
) -> tuple[JobStatus | None, str | None]:
    """Follow a job until it has ended.

    Jobs that are followed on the same event loop are asked for together; see :mod:`airflow_mlpipe.execution.hub`.

    :param target: where the job runs.
    :param handle: the job.
    :param polling: pace and limits.
    :param on_log: gets the job's output line by line while it runs.
    :param cursor: where an earlier call left the log.
    :param say: takes lines about the watch itself: a target that does not answer, a state that nobody knows.
    :returns: the final status, ``None`` after ``give_up_after``; and the log cursor to go on from.
    :raises ComputeError: if the target says for good that it cannot be asked. A target that cannot be reached is asked
        again until the deadline.
    """
    log = _LogFollower(on_log, cursor)
    return await _Watch(target, handle, polling, log, say).to_the_end(), log.cursor


class _Watch:
    """One job that is followed."""

    def __init__(self, target: ComputeTarget, handle: JobHandle, polling: Polling, log: _LogFollower, say: Say) -> None:
        self._target = target
        self._handle = handle
        self._polling = polling
        self._log = log
        self._say = say
        self._last_word = ""
        self._give_up = time.time() + polling.give_up_after if polling.give_up_after is not None else None

    async def to_the_end(self) -> JobStatus | None:
        """Return the final status, ``None`` if it is time to give up."""
        interval = self._polling.interval
        pause = min(_FIRST_PAUSE, interval) if self._polling.eager else interval
        after = 0.0 if self._polling.eager else random.uniform(0, interval)  # noqa: S311 - jitter
        while True:
            status = await self._look(after, pause)
            if status is not None and status.state.is_terminal:
                return status
            if self._polling.deadline is not None and time.time() > self._polling.deadline:
                return await self._expire()
            if self._give_up is not None and time.time() >= self._give_up:
                self._log.end()
                return None
            after = pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, so that many watchers do not poll in step
            pause = min(pause * _GROWTH, interval)

    async def _look(self, after: float, pause: float) -> JobStatus | None:
        """Look at the job after some seconds; no later than the next limit, and no longer than is left until then.

        Few jobs are looked at eagerly, each by a worker of its own, which is told of the end where the target sees it.
        """
        after = max(0.0, min([after, *self._left()]))
        if self._polling.eager:
            await self._target.wait(self._handle, after)
            after = 0.0
        left = self._left()
        patience = max(min(left), _LAST_LOOK) if left else None
        answer = await polling_hub().look(self._target, self._handle, after, pause, patience)
        if isinstance(answer, TransientComputeError):
            self._note(f"no answer from {self._target.name}, asking again: {answer}")
            return None
        if isinstance(answer, MLPipeError):
            raise answer
        if answer is not None:
            self._note(_foreign_word(self._target.name, answer))
            await self._read_log(answer)
        return answer

    def _left(self) -> list[float]:
        """Return the seconds until each limit."""
        return [limit - time.time() for limit in (self._polling.deadline, self._give_up) if limit is not None]

    def _note(self, word: str) -> None:
        """Say something about the watch once, and again only after something else was said."""
        if word and word != self._last_word:
            self._say(word)
        self._last_word = word

    async def _read_log(self, status: JobStatus) -> None:
        """Hand on new lines. The end of a job does not wait for ever for its last lines."""
        patience = _LAST_LINES_PATIENCE if status.state.is_terminal else _LOG_PATIENCE
        for number in range(_TRIES_AT_LAST_LINES):
            try:
                await within(self._log.read(self._target, self._handle, status), patience, self._target)
                break
            except Exception as error:  # noqa: BLE001 - what a target's code does wrong must not end the watch
                why = error if isinstance(error, MLPipeError) else f"{type(error).__name__}: {error}"
                self._note(f"the log of {self._handle.key} cannot be read now: {why}")
                if not status.state.is_terminal:
                    return
                await asyncio.sleep(number)
        if status.state.is_terminal:
            self._log.end()

    async def _expire(self) -> JobStatus:
        """Cancel the job because its time is over."""
        message = "It did not end within its timeout and was cancelled."
        try:
            await within(self._target.cancel(self._handle, _CANCEL_GRACE), _CANCEL_PATIENCE, self._target)
        except ComputeError as error:
            message = (
                f"It did not end within its timeout. Whether it was cancelled is not known ({error}) "
                "'mlpipe sweep' ends it if it still runs."
            )
        return JobStatus(JobState.FAILED, message=message)


def _foreign_word(name: str, status: JobStatus) -> str:
    """Return a sentence about a state that goes by another word where the job runs."""
    if status.raw in ("", status.state.value) or status.state.is_terminal:
        return ""
    return f"{name} says {status.raw!r}; the job counts as {status.state.value}"
