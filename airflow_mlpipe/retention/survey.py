"""One look at everything: what is there, and which of it somebody needs.

The order is what makes it safe beside running pipelines. What may go is listed first, who needs it is asked after that:
whatever comes into being between the two is either not listed or already needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobState
from airflow_mlpipe.errors import ComputeError, ConfigError
from airflow_mlpipe.retention.base import Policy
from airflow_mlpipe.retention.pins import Pins
from airflow_mlpipe.retention.trash import Tombstone, Trash
from airflow_mlpipe.reuse.inventory import StoredResult, attempt_of, attempts, flights, source_texts, stored_results
from airflow_mlpipe.tracking.base import JobRecord
from airflow_mlpipe.tracking.history import PastRun, by_pipeline, past_runs
from airflow_mlpipe.workspace import Workspace

_UNHEARD = timedelta(days=7)
"""An open job that its target does not know counts as abandoned after this time; a copy by a worker has no target."""


@dataclass
class Survey:
    """What is there, and what of it is needed.

    :param attempts: ids of all attempts.
    :param texts: digest and place of every source text.
    :param stones: tombstones by attempt.
    :param results: every reuse record.
    :param roots: attempts that must stay, and why.
    :param kept: runs whose outputs stay.
    :param old: the other runs, each with its rank among the runs of its pipeline, 0 for the latest.
    :param used: when a step of any run last used or made a result, by key.
    :param busy: run keys of jobs that may still run.
    :param flights: reuse keys that somebody once computed under a lease, and the places of what is left of it.
    :param begun: when a job was last begun for a reuse key.
    :param codes: the ``code`` part of the identity of every job that is remembered.
    """

    attempts: set[str]
    texts: dict[str, str]
    stones: dict[str, Tombstone | None]
    results: list[StoredResult]
    roots: dict[str, str] = field(default_factory=dict)
    kept: list[PastRun] = field(default_factory=list)
    old: list[tuple[int, PastRun]] = field(default_factory=list)
    used: dict[str, datetime] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    codes: list[object] = field(default_factory=list)
    flights: dict[str, list[str]] = field(default_factory=dict)
    begun: dict[str, datetime] = field(default_factory=dict)


def survey(workspace: Workspace, policy: Policy, now: datetime) -> Survey:
    """Look at everything, change nothing.

    :raises StoreError: if a job record or a pin is damaged: what it keeps cannot be known.
    :raises DataError: if the record of a registered version is.
    """
    store = workspace.reuse
    found = Survey(
        attempts(store), source_texts(store), Trash(store.datastore, store.prefix).all(), list(stored_results(store))
    )
    found.flights = flights(store)
    for group in by_pipeline(past_runs(workspace.runs)).values():
        for rank, run in enumerate(group):
            _judge_run(workspace, policy, now, found, (rank, run))
    for asset in workspace.registry.assets():
        _keep(workspace, found, asset.data.path, f"{asset.kind} {asset.name}:{asset.version}")
    for pin in Pins(store.datastore, store.prefix).all():
        for attempt in pin.attempts:
            _keep(workspace, found, attempt, f"pin {pin.name}")
    for result in found.results:
        _judge_result(workspace, found, result, now - policy.older_than)
    return found


def _judge_run(workspace: Workspace, policy: Policy, now: datetime, found: Survey, ranked: tuple[int, PastRun]) -> None:
    rank, run = ranked
    _note(found, run)
    recent = max(policy.older_than, policy.grace)
    busy = [job for _, job in run.jobs if job.ended is None and _may_run(workspace, job, now, recent)]
    young = run.last_sign is not None and run.last_sign >= now - recent
    for job in busy:
        found.busy.add(job.key)
        for path in (job.attempt, *(source.path for source in job.sources)):
            _keep(workspace, found, path, f"open job of run {run.run_id}")
    if not (busy or young or rank < policy.keep_last):
        found.old.append((rank, run))
        return
    found.kept.append(run)
    for step in run.steps:
        for output in step.outputs.values():
            _keep(workspace, found, output.path, f"{run.pipeline}, run {run.run_id}")


def _note(found: Survey, run: PastRun) -> None:
    """Note what a run used, began and was made of."""
    for step in run.steps:
        if step.key is not None and step.decision != "failed":
            found.used[step.key] = max(step.ended, found.used.get(step.key, step.ended))
    for _, job in run.jobs:
        found.codes.append(job.parts.get("code"))
        if job.fingerprint is not None:
            found.begun[job.fingerprint] = max(job.started, found.begun.get(job.fingerprint, job.started))


def _judge_result(workspace: Workspace, found: Survey, result: StoredResult, oldest: datetime) -> None:
    """Keep the attempt of a result that was made or used lately, or that this version cannot judge."""
    if result.attempt is None or result.attempt in found.roots:
        return
    if result.foreign:
        found.roots[result.attempt] = "its record was written by another version"
    elif result.record is not None and last_use(workspace, found, result) >= oldest.timestamp():
        found.roots[result.attempt] = "used lately"


def last_use(workspace: Workspace, found: Survey, result: StoredResult) -> float:
    """Return when a result was last made or found, as UNIX time."""
    moments = [workspace.reuse.marks.last(result.key), found.used.get(result.key)]
    moments.append(result.record.created if result.record else None)
    return max((moment.timestamp() for moment in moments if moment is not None), default=0.0)


def _keep(workspace: Workspace, found: Survey, path: str, why: str) -> None:
    attempt = attempt_of(workspace.reuse, path)
    if attempt is not None:
        found.roots.setdefault(attempt, why)


def job_on_target(workspace: Workspace, job: JobRecord) -> tuple[ComputeTarget, JobHandle] | None:
    """Return a job where it runs, ``None`` if its target does not know it.

    :raises ComputeError: if the target cannot be asked.
    :raises ConfigError: if the workspace has no such target.
    """
    target = workspace.compute(job.target)
    handle = asyncio.run(target.find(job.key))
    return None if handle is None else (target, handle)


def _may_run(workspace: Workspace, job: JobRecord, now: datetime, recent: timedelta) -> bool:
    """Whether an open job may still run, or be finished by a retry."""
    since = now - job.started
    if since < recent:
        return True
    try:
        there = job_on_target(workspace, job)
        if there is None:
            return since < max(recent, _UNHEARD)
        target, handle = there
        [status] = asyncio.run(target.status([handle]))
    except (ComputeError, ConfigError):
        return True
    if status.state is JobState.LOST:
        return since < max(recent, _UNHEARD)
    return not status.state.is_terminal


def ended_jobs(workspace: Workspace, found: Survey, run: PastRun) -> Iterator[tuple[ComputeTarget, JobHandle]]:
    """Yield the jobs of a run that have ended and of which their targets still keep something."""
    for _, job in run.jobs:
        if job.key in found.busy:
            continue
        try:
            there = job_on_target(workspace, job)
        except (ComputeError, ConfigError):
            continue
        if there is not None:
            yield there
