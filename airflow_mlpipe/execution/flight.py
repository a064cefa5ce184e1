"""Holding a flight: two runs that need the same step at the same time compute it once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_mlpipe.compute.base import JobState
from airflow_mlpipe.errors import StoreError
from airflow_mlpipe.execution.choice import exports
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.turns import Turn, Waiting, record_nonce
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.reuse.flights import Flight
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import JobRecord
from airflow_mlpipe.workspace import Workspace

_log = logging.getLogger(__name__)
_BEATS = 4
"""Beats in a grace: some may be late."""


def takes_part(step: Step, run: RunInfo, cleared: bool) -> bool:
    """Return whether a step may take the result of another run, so that waiting for it makes sense."""
    return run.mode(step.name) == "auto" and step.is_deterministic and not exports(step) and not cleared


def take_flight(
    workspace: Workspace, key: str, run: RunInfo, step: Step, waited: Turn | None = None
) -> Flight | Waiting:
    """Become the one who computes a key, unless somebody else does.

    :param key: of the fingerprint.
    :param waited: how an earlier wait ended.
    """
    holder = {"pipeline": run.pipeline, "run_id": run.run_id, "step": step.name}
    while True:
        current = workspace.flights.current(key)
        if current is not None and not _is_free(current, holder, waited):
            patience = workspace.config.single_flight.max_wait if waited is None else waited.patience
            whose = {"pipeline": current.pipeline, "run_id": current.run_id, "step": current.step}
            return Waiting(key, current.nonce, whose, patience, record_nonce(workspace, key))
        taken = workspace.flights.take(key, current, holder, next_ordinal(workspace, run, step, key))
        if taken is not None:
            return taken


def _is_free(current: Flight, holder: dict[str, str], waited: Turn | None) -> bool:
    own = all(getattr(current, name) == value for name, value in holder.items())
    return current.landed or own or (waited is not None and waited.passed == current.nonce)


def next_ordinal(workspace: Workspace, run: RunInfo, step: Step, key: str | None) -> int:
    """Return the ordinal of the job that a step is about to begin, or to begin again after a crash."""
    earlier = workspace.runs.jobs(run.pipeline, run.run_id, step.name)
    if not earlier:
        return 1
    unfinished = earlier[-1].ended is None and earlier[-1].fingerprint == key
    return earlier[-1].ordinal if unfinished else earlier[-1].ordinal + 1


@contextmanager
def alive(workspace: Workspace, flight: Flight | None) -> Iterator[None]:
    """Show others that this process works on a flight: it fetches, copies, builds or uploads for as long as it takes.

    A fault ends the flight: a later try begins it anew, and nobody waits for that.

    :param flight: ``None`` for a step that takes no part; nothing happens then.
    """
    if flight is None:
        yield
        return
    ended = threading.Event()
    beater = threading.Thread(target=_beat, args=(workspace, flight, ended), name="mlpipe-flight", daemon=True)
    beater.start()
    try:
        yield
    except BaseException:
        workspace.flights.land(flight)
        raise
    finally:
        ended.set()
        beater.join()


def _beat(workspace: Workspace, flight: Flight, ended: threading.Event) -> None:
    pause = workspace.config.single_flight.grace / _BEATS
    count = 0
    while not ended.wait(pause):
        count += 1
        try:
            workspace.flights.beat(flight, count)
        except StoreError as error:
            _log.warning("That step %s is being computed cannot be shown to other runs: %s", flight.step, error)


def flight_of(workspace: Workspace, run: RunInfo, step: str, job: JobRecord) -> Flight | None:
    """Return the flight that a job belongs to, ``None`` if it has none or another run has taken over."""
    if job.fingerprint is None:
        return None
    current = workspace.flights.current(job.fingerprint)
    if current is None or current.landed:
        return None
    own = (current.pipeline, current.run_id, current.step, current.ordinal)
    return current if own == (run.pipeline, run.run_id, step, job.ordinal) else None


def end_job(workspace: Workspace, run: RunInfo, step: str, job: JobRecord, state: JobState) -> None:
    """Record that a job has ended, then let go of those who wait for it."""
    workspace.runs.write_job(run.pipeline, run.run_id, step, replaced(job, ended=state.value))
    flight = flight_of(workspace, run, step, job)
    if flight is not None:
        workspace.flights.land(flight)
