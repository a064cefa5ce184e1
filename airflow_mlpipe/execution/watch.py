"""Following a job to its end: one coroutine for the worker, the triggerer and the laptop."""

from __future__ import annotations

import codecs
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobState, JobStatus
from airflow_mlpipe.errors import TransientComputeError

_FIRST_PAUSE = 0.05
_GROWTH = 1.5

OnLog = Callable[[str], None]
"""Takes one whole line of the job's output, without its line end."""


@dataclass(frozen=True)
class Polling:
    """How patiently to follow a job.

    :param interval: seconds between two looks, once the job has shown that it takes long; the first looks come sooner.
    :param deadline: UNIX time after which the job is cancelled and counts as failed. Airflow does not enforce
        ``execution_timeout`` while a task is deferred, so the deadline is ours to keep.
    :param give_up_after: seconds after which to return without a result (to defer, for example).
    """

    interval: float = 5.0
    deadline: float | None = None
    give_up_after: float | None = None


class _LogFollower:
    """Turns chunks of bytes into whole lines, however the chunks were cut."""

    def __init__(self, on_log: OnLog | None, cursor: str | None) -> None:
        self.cursor = cursor
        self._on_log = on_log
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    async def read(self, target: ComputeTarget, handle: JobHandle) -> None:
        """Hand on everything that the job has written so far."""
        if self._on_log is None:
            return
        while True:
            chunk = await target.logs(handle, self.cursor)
            *lines, self._rest = (self._rest + self._decoder.decode(chunk.data)).split("\n")
            for line in lines:
                self._on_log(line.rstrip("\r"))
            stuck = chunk.cursor == self.cursor
            self.cursor = chunk.cursor
            if stuck or not chunk.data:
                return

    def end(self) -> None:
        """Hand on a last line that has no line end."""
        if self._on_log is not None and self._rest:
            self._on_log(self._rest)
            self._rest = ""


async def watch(
    target: ComputeTarget, handle: JobHandle, polling: Polling, on_log: OnLog | None = None, cursor: str | None = None
) -> tuple[JobStatus | None, str | None]:
    """Follow a job until it has ended.

    :param target: where the job runs.
    :param handle: the job.
    :param polling: pace and limits.
    :param on_log: gets the job's output line by line while it runs.
    :param cursor: where an earlier call left the log.
    :returns: the final status, ``None`` after ``give_up_after``; and the log cursor to go on from.
    :raises TransientComputeError: never; a target that cannot be reached is asked again until the deadline.
    """
    started = time.monotonic()
    follower = _LogFollower(on_log, cursor)
    pause = min(_FIRST_PAUSE, polling.interval)
    while True:
        status = await _look(target, handle, follower)
        if status is not None and status.state.is_terminal:
            follower.end()
            return status, follower.cursor
        if polling.deadline is not None and time.time() > polling.deadline:
            await target.cancel(handle)
            return JobStatus(
                JobState.FAILED, message="It did not end within its timeout and was cancelled."
            ), follower.cursor
        if polling.give_up_after is not None and time.monotonic() - started > polling.give_up_after:
            follower.end()
            return None, follower.cursor
        await loop.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, so that many watchers do not poll in step
        pause = min(pause * _GROWTH, polling.interval)


async def _look(target: ComputeTarget, handle: JobHandle, follower: _LogFollower) -> JobStatus | None:
    try:
        [status] = await target.status([handle])
        await follower.read(target, handle)
    except TransientComputeError:
        return None
    return status
