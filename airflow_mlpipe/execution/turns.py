"""Waiting for another run that computes the same step: who waits, for how long, and when the holder counts as dead.

Nothing here decides what is right; see :mod:`airflow_mlpipe.reuse.flights`. Waiting too long costs time, waiting too
short costs a second computation.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import JobHandle, JobState
from airflow_mlpipe.errors import ConfigError, StoreError, TransientComputeError
from airflow_mlpipe.execution.hub import status_of
from airflow_mlpipe.reuse.flights import Flight
from airflow_mlpipe.tracking.base import JobRecord
from airflow_mlpipe.workspace import Workspace

_FIRST_PAUSE = 0.05
_GROWTH = 1.5
_UNFINISHED = 5.0
"""Graces for a job that has ended well: whoever finishes it may have to wait for a worker first."""


@dataclass(frozen=True)
class Waiting:
    """Somebody else computes this very step right now; JSON-able, it crosses a deferral.

    :param key: of the fingerprint.
    :param nonce: of the flight that is waited for.
    :param holder: ``pipeline``, ``run_id`` and ``step`` of who holds it.
    :param patience: seconds after which the step is run all the same, ``None`` for never.
    :param record: nonce of the reuse record that is there already and did not do; empty if there is none.
    """

    key: str
    nonce: str
    holder: Mapping[str, str]
    patience: float | None = None
    record: str = ""

    @property
    def reason(self) -> str:
        """Why there is nothing to do yet, in words for the user."""
        return (
            f"waiting for run {self.holder['run_id']} of {self.holder['pipeline']} (step {self.holder['step']}), "
            "which computes the same step"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Waiting:
        """Read :meth:`to_json` back."""
        return cls(**value)


@dataclass(frozen=True)
class Turn:
    """The end of a wait: it is worth while to begin the step again.

    :param passed: nonce of the flight that is not waited for any longer.
    :param patience: seconds that are left for further waits, ``None`` for no limit.
    :param why: in words for the user, empty if the holder simply came to its end.
    """

    passed: str
    patience: float | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Turn:
        """Read :meth:`to_json` back."""
        return cls(**value)


def record_nonce(workspace: Workspace, key: str) -> str:
    """Return what tells the stored result of a key from another one; empty if there is none."""
    stored = workspace.reuse.stored(key)
    return "" if stored is None else stored.nonce


class _Watch:
    """Looks at a holder again and again; remembers on this machine's own clock since when nothing has moved."""

    def __init__(self, workspace: Workspace, waiting: Waiting) -> None:
        self._workspace = workspace
        self._waiting = waiting
        self._began = self._moved = time.monotonic()
        self._seen: object = None

    async def look(self) -> Turn | None:
        """Return the turn when it has come."""
        patience = self._waiting.patience
        left = None if patience is None else max(0.0, patience - (time.monotonic() - self._began))
        why = await self._why()
        if why is None and left == 0.0:
            why = "it takes too long"
        return None if why is None else Turn(self._waiting.nonce, left, why)

    async def _why(self) -> str | None:
        flight, record, job, beats = await loop.to_thread(self._read)
        if flight is None or flight.landed or flight.nonce != self._waiting.nonce or record != self._waiting.record:
            return ""
        if job is not None and job.ended is not None:
            return ""
        state = await self._state(job)
        seen = (beats, None if job is None else job.handle, state)
        if seen != self._seen or state in (JobState.QUEUED, JobState.RUNNING):
            self._seen, self._moved = seen, time.monotonic()
        if state in (JobState.FAILED, JobState.CANCELLED):
            return f"its job {'has' if state is JobState.FAILED else 'was'} {state.value}"
        grace = self._workspace.config.single_flight.grace * (_UNFINISHED if state is JobState.SUCCEEDED else 1.0)
        return "it gives no sign of life" if time.monotonic() - self._moved > grace else None

    def _read(self) -> tuple[Flight | None, str, JobRecord | None, bytes]:
        flight = self._workspace.flights.current(self._waiting.key)
        if flight is None or flight.landed or flight.nonce != self._waiting.nonce:
            return flight, self._waiting.record, None, b""
        try:
            jobs = self._workspace.runs.jobs(flight.pipeline, flight.run_id, flight.step)
        except StoreError:  # a damaged record of another run is that run's trouble; it gives no sign of life
            jobs = []
        job = next((job for job in jobs if job.ordinal == flight.ordinal), None)
        return flight, record_nonce(self._workspace, self._waiting.key), job, self._workspace.flights.beats(flight)

    async def _state(self, job: JobRecord | None) -> JobState | None:
        """Return the state of the holder's job, ``None`` while there is none or it cannot be known here.

        A job that is lost may be one of another machine's own target.
        """
        if job is None or job.handle is None:
            return None
        try:
            handle = JobHandle.from_json(job.handle)
            status = await status_of(self._workspace.compute(handle.target), handle)
        except TransientComputeError:
            return JobState.RUNNING
        except ConfigError:
            return None
        return status.state


async def await_turn(
    workspace: Workspace, waiting: Waiting, interval: float, stop: Callable[[], bool] | None = None
) -> Turn | None:
    """Wait until it is worth while to begin a step again; the holder is only looked at, never touched.

    :param waiting: what :func:`~airflow_mlpipe.execution.lifecycle.begin` returned.
    :param interval: seconds between two looks; the first looks come sooner.
    :param stop: asked between two looks; True ends the wait.
    :returns: the turn, ``None`` if the wait was stopped.
    :raises StoreError: if the store cannot be read.
    """
    watch = _Watch(workspace, waiting)
    pause = min(_FIRST_PAUSE, interval)
    while (turn := await watch.look()) is None:
        if stop is not None and stop():
            return None
        await loop.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, so that many do not look in step
        pause = min(pause * _GROWTH, interval)
    return turn
