"""Ending jobs that nobody owns: their run was killed, or whoever should have cancelled them could not.

A job is only touched if this workspace has its record, and only for a reason that stays true: somebody closed the
record, a later job of the same step was begun, the step has ended, or the task is over. It must have been so in two
looks, a grace apart. A job of a run that goes on is never touched, nor is one of which nothing is known.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobState
from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.execution.flight import end_job
from airflow_mlpipe.execution.hub import status_of
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.tracking.base import JobRecord
from airflow_mlpipe.tracking.history import PastRun, past_runs
from airflow_mlpipe.workspace import Workspace

TaskIsOver = Callable[[str, str, str], bool | None]
"""Takes pipeline, run id and step; says whether its task has come to its end for good, ``None`` if it cannot know."""

Outcome = Literal["cancelled", "would cancel", "ended by itself", "spared", "not reached"]
_GRACE = 5.0
_AT_ONCE = 8
_NEVER_SUCCEEDED = (JobState.CANCELLED.value, JobState.FAILED.value, JobState.LOST.value)


@dataclass(frozen=True)
class Orphan:
    """A job that nobody owns.

    :param why: what says so.
    """

    pipeline: str
    run_id: str
    step: str
    job: JobRecord
    why: str


@dataclass(frozen=True)
class Swept:
    """What came of one job.

    :param outcome: ``cancelled``; ``would cancel`` in a dry run; ``ended by itself`` or ``spared`` at the second look;
        ``not reached`` if its target could not be asked or did not confirm.
    :param detail: of an outcome that is not plain.
    """

    pipeline: str
    run_id: str
    step: str
    target: str
    key: str
    why: str
    outcome: Outcome
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def nobody_knows(_pipeline: str, _run_id: str, _step: str) -> bool | None:
    """Judge tasks where there is no Airflow to ask."""
    return None


def sweep(
    workspace: Workspace, task_is_over: TaskIsOver = nobody_knows, grace: float = 30.0, dry_run: bool = False
) -> list[Swept]:
    """End the jobs that nobody owns. Safe beside running pipelines and beside itself.

    :param task_is_over: asked about open jobs only; called from several threads.
    :param grace: seconds between the two looks.
    :param dry_run: only look, once.
    :raises StoreError: if a job record is damaged: whose job it is cannot be known.
    """
    found, unreached = _look(workspace, task_is_over, past_runs(workspace.runs))
    if dry_run:
        return unreached + [_swept(orphan, "would cancel") for orphan in found]
    if found and grace > 0:
        time.sleep(grace)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return unreached + list(pool.map(lambda orphan: _end(workspace, task_is_over, orphan), found))


def _look(workspace: Workspace, task_is_over: TaskIsOver, runs: Sequence[PastRun]) -> tuple[list[Orphan], list[Swept]]:
    """Return the orphans that are alive, and those of which it cannot be known. All are asked for at once."""
    judged = [(run, step, job, _reason(run, step, job, task_is_over)) for run in runs for step, job in run.jobs]
    orphans = [Orphan(run.pipeline, run.run_id, step, job, why) for run, step, job, why in judged if why]
    alive = loop.run(_all_alive(workspace, [orphan.job for orphan in orphans]))
    found = [orphan for orphan, state in zip(orphans, alive, strict=True) if state is True]
    unreached = [
        _swept(orphan, "not reached", str(state))
        for orphan, state in zip(orphans, alive, strict=True)
        if isinstance(state, MLPipeError)
    ]
    return found, unreached


def _reason(run: PastRun, step: str, job: JobRecord, task_is_over: TaskIsOver) -> str:
    """Return why nobody owns a job; nothing if somebody may."""
    if job.ended is not None:
        return f"its record says {job.ended}" if job.ended in _NEVER_SUCCEEDED else ""
    if any(name == step and other.ordinal > job.ordinal for name, other in run.jobs):
        return "a later job of the same step was begun"
    if any(done.step == step and done.epoch == job.epoch and done.ended > job.started for done in run.steps):
        return "the step has ended in this run"
    return "its task is over" if task_is_over(run.pipeline, run.run_id, step) else ""


async def _all_alive(workspace: Workspace, jobs: Sequence[JobRecord]) -> list[bool | MLPipeError]:
    async def one(job: JobRecord) -> bool | MLPipeError:
        try:
            return await _handle(workspace.compute(job.target), job) is not None
        except MLPipeError as error:
            return error

    return list(await asyncio.gather(*(one(job) for job in jobs)))


async def _handle(target: ComputeTarget, job: JobRecord) -> JobHandle | None:
    """Return a job's handle if it is on its target and has not ended."""
    handle = JobHandle.from_json(job.handle) if job.handle else await target.find(job.key)
    if handle is None or handle.key != job.key:
        return None
    status = await status_of(target, handle)
    return None if status.state.is_terminal else handle


def _end(workspace: Workspace, task_is_over: TaskIsOver, orphan: Orphan) -> Swept:
    """Look at one job again, and end it if nothing has changed. The record is closed first: nobody adopts it then."""
    try:
        run, job = _again(workspace, orphan)
        if job is None or not _reason(run, orphan.step, job, task_is_over):
            return _swept(orphan, "spared", "somebody owns it now")
        target = workspace.compute(job.target)
        handle = loop.run(_handle(target, job))
        if handle is None:
            return _swept(orphan, "ended by itself")
        if job.ended is None:
            info = RunInfo(orphan.pipeline, orphan.run_id, {}, {}, workspace.folder)
            end_job(workspace, info, orphan.step, job, JobState.CANCELLED)
        loop.run(target.cancel(handle, _GRACE))
        left = loop.run(_handle(target, job))
    except MLPipeError as error:
        return _swept(orphan, "not reached", str(error))
    return (
        _swept(orphan, "cancelled") if left is None else _swept(orphan, "not reached", "its end is not confirmed yet")
    )


def _again(workspace: Workspace, orphan: Orphan) -> tuple[PastRun, JobRecord | None]:
    done = workspace.runs.read_step(orphan.pipeline, orphan.run_id, orphan.step)
    jobs = workspace.runs.jobs(orphan.pipeline, orphan.run_id, orphan.step)
    run = PastRun(orphan.pipeline, orphan.run_id, None, [done] if done else [], [(orphan.step, job) for job in jobs])
    return run, next((job for job in jobs if job.ordinal == orphan.job.ordinal and job.key == orphan.job.key), None)


def _swept(orphan: Orphan, outcome: Outcome, detail: str = "") -> Swept:
    job = orphan.job
    return Swept(orphan.pipeline, orphan.run_id, orphan.step, job.target, job.key, orphan.why, outcome, detail)
