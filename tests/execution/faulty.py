"""A real target with faults at its edge: what it says can be replaced, what it does is real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from airflow_mlpipe.compute.base import JobHandle, JobSpec, JobStatus, LogChunk
from airflow_mlpipe.compute.inline import InlineTarget
from airflow_mlpipe.errors import TransientComputeError

HANG = object()
"""Instead of an answer: none, ever."""


class FaultyTarget(InlineTarget):
    """Answers the first questions from a script, then the truth.

    :param script: an exception to raise, :data:`HANG`, a function of the true answer, or the answer itself.
    :ivar calls: the handles of each question, and when it came.
    :ivar lose_replies: so many submits are done but their replies are lost.
    """

    def __init__(self, name: str = "local", script: Sequence[object] = ()) -> None:
        super().__init__(name)
        self.script = list(script)
        self.log_script: list[object] = []
        self.lose_replies = 0
        self.calls: list[tuple[float, list[JobHandle]]] = []
        self.log_calls = 0

    @property
    def endpoint(self) -> str:
        """One place for each object."""
        return f"faulty:{id(self)}"

    async def submit(self, spec: JobSpec, key: str) -> JobHandle:
        handle = await super().submit(spec, key)
        if self.lose_replies:
            self.lose_replies -= 1
            raise TransientComputeError("connection reset by peer")
        return handle

    async def status(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        self.calls.append((asyncio.get_running_loop().time(), list(handles)))
        truth = await super().status(handles)
        return await _say(self.script.pop(0), truth) if self.script else truth

    async def logs(self, handle: JobHandle, cursor: str | None = None, limit: int = 65536) -> LogChunk:
        self.log_calls += 1
        truth = await super().logs(handle, cursor, limit)
        return await _say(self.log_script.pop(0), truth) if self.log_script else truth


async def _say(line: object, truth: Any) -> Any:
    if line is HANG:
        await asyncio.Event().wait()
    if isinstance(line, BaseException):
        raise line
    return line(truth) if isinstance(line, Callable) else line
