"""The head of a step's life: return what is known, adopt what is running, reuse what is identical, else submit.

The order never changes: the intent is written before the job is submitted, the job's id before anybody polls. So a
crash at any point leaves either nothing, an intent that the next try submits under the same key, or a job that the next
try adopts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobState, JobStatus
from airflow_mlpipe.content import DataRef
from airflow_mlpipe.errors import ComputeError, StepFailedError, SubmitRejectedError, TransientComputeError
from airflow_mlpipe.execution.choice import Choice, choose, record_reuse
from airflow_mlpipe.execution.explain import input_manifest_port
from airflow_mlpipe.execution.finish import Ending
from airflow_mlpipe.execution.flight import alive, end_job, next_ordinal, take_flight, takes_part
from airflow_mlpipe.execution.hub import status_of
from airflow_mlpipe.execution.inputs import NotYetKnownError
from airflow_mlpipe.execution.job import build_job, remove_scratch
from airflow_mlpipe.execution.machines import refuse_what_cannot_be_given
from airflow_mlpipe.execution.resolve import ResolvedStep, resolve_step
from airflow_mlpipe.execution.run_info import RunInfo, Say, Ticket, run_key, silent
from airflow_mlpipe.execution.turns import Turn, Waiting, record_nonce
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.reuse.flights import Flight
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import JobRecord, RunRecord, StepRecord
from airflow_mlpipe.workspace import Workspace

_CANCEL_GRACE = 10.0
_CANCEL_PATIENCE = 15.0
_CANCEL_PAUSE = 0.5


def begin(
    workspace: Workspace, step: Step, run: RunInfo, epoch: int, say: Say = silent, waited: Turn | None = None
) -> StepRecord | Ticket | Waiting:
    """Begin one step of one run, or take up what an earlier try of it began.

    :param epoch: Airflow's ``ti.max_tries``: the same for all retries, larger after a clear.
    :param say: takes lines of progress.
    :param waited: how the wait for another run ended, after this function returned a wait.
    :returns: the step's record if it has ended (reused, or ended by an earlier try); a ticket for its job; or whom to
        wait for, because another run computes the same step right now: wait with
        :func:`~airflow_mlpipe.execution.turns.await_turn` and begin again.
    :raises MLPipeError: a fault of data, code, environment, parameters or target, in words for the user.
    """
    final = workspace.runs.read_step(run.pipeline, run.run_id, step.name)
    ended = final is not None and final.decision not in ("failed", "skipped")
    if final is not None and ended and final.epoch == epoch:
        say("this step has already ended in this run; its record stands")
        return final
    _note_run(workspace, run)
    adopted = _adopt(workspace, step, run, epoch, say)
    if adopted is not None:
        return adopted
    refuse_what_cannot_be_given(workspace, step)
    resolved = _resolve(workspace, step, run)
    choice = choose(workspace, resolved, run, cleared=ended)
    flight: Flight | None = None
    if choice.record is None and takes_part(step, run, ended):
        taken = take_flight(workspace, resolved.fingerprint.key, run, step, waited)
        if isinstance(taken, Waiting):
            say(taken.reason)
            return taken
        flight = taken
    with alive(workspace, flight):
        if flight is not None:
            choice = _look_again(workspace, resolved, run, choice, flight)
        if choice.record is not None:
            say(f"reuse: {choice.reason}")
            return record_reuse(workspace, step, run, choice, epoch)
        say(f"run: {choice.reason}")
        job = _write_intent(workspace, resolved, run, _Intent(epoch, choice.reason, ended))
        return _start(workspace, resolved, run, job, say)


def _look_again(workspace: Workspace, resolved: ResolvedStep, run: RunInfo, choice: Choice, flight: Flight) -> Choice:
    """Another run may have published and landed after the look-up and before this run took the flight."""
    if not record_nonce(workspace, flight.key):
        return choice
    again = choose(workspace, resolved, run)
    if again.record is not None:
        workspace.flights.land(flight)
    return again


def _start(workspace: Workspace, resolved: ResolvedStep, run: RunInfo, job: JobRecord, say: Say) -> StepRecord | Ticket:
    _keep_evidence(workspace, resolved, job)
    if resolved.step.type == "data_transfer":
        from airflow_mlpipe.execution.transfer import transfer  # noqa: PLC0415 - heavy, and most steps move no data

        seconds = transfer(workspace, resolved, job, say)
        ending = Ending(workspace, resolved.step, run, job, say)
        return ending.succeed(JobStatus(JobState.SUCCEEDED, seconds=seconds))
    return _submit(workspace, resolved, run, job, say)


def abandon(workspace: Workspace, step: Step, run: RunInfo, ticket: Ticket) -> None:
    """End the job of one try because a person ended the try; other jobs of the step are left alone. Idempotent.

    The record is marked first, so that a next try does not adopt a job that is being killed. A target that cannot be
    reached is asked again for a while: Airflow gives a trigger half a minute to clean up.

    :raises ComputeError: if the job could not be cancelled; a sweep finds it by its record.
    """
    for job in workspace.runs.jobs(run.pipeline, run.run_id, step.name):
        if job.ordinal == ticket.ordinal and job.ended is None:
            end_job(workspace, run, step.name, job, JobState.CANCELLED)
    loop.run(_cancel(workspace.compute(ticket.handle.target), ticket.handle))


async def _cancel(target: ComputeTarget, handle: JobHandle) -> None:
    deadline = time.monotonic() + _CANCEL_PATIENCE
    while True:
        try:
            return await target.cancel(handle, grace=1.0)
        except TransientComputeError:
            if time.monotonic() > deadline:
                raise
        await loop.sleep(_CANCEL_PAUSE)


def upstream_outputs(workspace: Workspace, run: RunInfo, name: str) -> Mapping[str, DataRef] | None:
    """Return the outputs of a step of this run, ``None`` while it has not ended well."""
    record = workspace.runs.read_step(run.pipeline, run.run_id, name)
    return None if record is None or record.decision == "failed" else record.outputs


def _note_run(workspace: Workspace, run: RunInfo) -> None:
    if workspace.runs.read_run(run.pipeline, run.run_id) is None:
        now = datetime.now(timezone.utc)
        workspace.runs.write_run(
            RunRecord(
                pipeline=run.pipeline,
                run_id=run.run_id,
                parameters=dict(run.parameters),
                started=now,
                labels=run.labels,
            )
        )


def _resolve(workspace: Workspace, step: Step, run: RunInfo) -> ResolvedStep:
    def outputs_of(name: str) -> Mapping[str, DataRef] | None:
        return upstream_outputs(workspace, run, name)

    try:
        return resolve_step(workspace, step, run, outputs_of)
    except NotYetKnownError as error:
        raise StepFailedError(
            f"Step {step.name} needs the outputs of step {error.step}, which has not ended well in this run. "
            f"Run or clear {error.step} first."
        ) from None


def _adopt(workspace: Workspace, step: Step, run: RunInfo, epoch: int, say: Say) -> StepRecord | Ticket | None:
    """Take up a job that an earlier try left; end those of an earlier epoch."""
    open_jobs = [job for job in workspace.runs.jobs(run.pipeline, run.run_id, step.name) if job.ended is None]
    mine = open_jobs[-1] if open_jobs and open_jobs[-1].epoch == epoch and step.type != "data_transfer" else None
    for job in open_jobs:
        if job is not mine:
            _end_stale(workspace, step, run, job)
    if mine is None:
        return None
    target = workspace.compute(mine.target)
    handle = JobHandle.from_json(mine.handle) if mine.handle else loop.run(target.find(mine.key))
    if handle is None:
        return None
    status = loop.run(status_of(target, handle))
    if status.state in (JobState.FAILED, JobState.CANCELLED):
        end_job(workspace, run, step.name, mine, status.state)
        return None
    say(f"adopting {handle.key} on {target.name}, submitted by an earlier try ({status.state.value})")
    if mine.handle is None:
        mine = _note_handle(workspace, step, run, mine, handle)
    return _ticket(handle, mine, step)


def _end_stale(workspace: Workspace, step: Step, run: RunInfo, job: JobRecord) -> None:
    if step.type != "data_transfer":
        target = workspace.compute(job.target)
        handle = JobHandle.from_json(job.handle) if job.handle else loop.run(target.find(job.key))
        if handle is not None:
            loop.run(target.cancel(handle, grace=_CANCEL_GRACE))
    end_job(workspace, run, step.name, job, JobState.CANCELLED)


def _note_handle(workspace: Workspace, step: Step, run: RunInfo, job: JobRecord, handle: JobHandle) -> JobRecord:
    log = workspace.compute(handle.target).log_location(handle)
    job = replaced(job, handle=handle.to_json(), log=log)
    workspace.runs.write_job(run.pipeline, run.run_id, step.name, job)
    return job


@dataclass(frozen=True)
class _Intent:
    epoch: int
    reason: str
    cleared: bool


def _write_intent(workspace: Workspace, resolved: ResolvedStep, run: RunInfo, intent: _Intent) -> JobRecord:
    step = resolved.step
    earlier = workspace.runs.jobs(run.pipeline, run.run_id, step.name)
    if earlier and earlier[-1].ended is None:
        if earlier[-1].fingerprint == resolved.fingerprint.key:
            return earlier[-1]
        end_job(workspace, run, step.name, earlier[-1], JobState.CANCELLED)
    ordinal = next_ordinal(workspace, run, step, resolved.fingerprint.key)
    job = JobRecord(
        ordinal=ordinal,
        epoch=intent.epoch,
        key=run_key(run.pipeline, run.run_id, step.name, ordinal),
        attempt=workspace.reuse.new_attempt(),
        target=step.compute or workspace.config.default_compute,
        started=datetime.now(timezone.utc),
        fingerprint=resolved.fingerprint.key,
        parts=dict(resolved.fingerprint.parts),
        sources=resolved.sources,
        inputs=resolved.lineage,
        reason=intent.reason,
        cleared=intent.cleared,
    )
    if not workspace.runs.create_job(run.pipeline, run.run_id, step.name, job):
        raise ComputeError(
            f"Another try of step {step.name} is beginning at this very moment (job {ordinal} of run {run.run_id}). "
            "Retry the task: it adopts that job."
        )
    return job


def _keep_evidence(workspace: Workspace, resolved: ResolvedStep, job: JobRecord) -> None:
    """Keep what a later run needs to say which line and which file made it run."""
    if resolved.code is not None:
        workspace.reuse.keep_code(resolved.code)
    for port, item in resolved.data.items():
        told = item.counts and not item.marked and item.content.kind == "folder"
        manifest = item.manifest(workspace) if told else None
        if manifest is not None:
            workspace.reuse.write_manifest(job.attempt, input_manifest_port(port), manifest)


def _submit(workspace: Workspace, resolved: ResolvedStep, run: RunInfo, job: JobRecord, say: Say) -> Ticket:
    step = resolved.step
    target: ComputeTarget = workspace.compute(job.target)
    try:
        spec = build_job(workspace, resolved, job)
        handle = loop.run(target.submit(spec, job.key))
    except SubmitRejectedError:
        end_job(workspace, run, step.name, job, JobState.FAILED)
        remove_scratch(workspace, job)
        raise
    job = _note_handle(workspace, step, run, job, handle)
    say(f"submitted to {target.name} as {handle.key} (adoptable); streaming its log")
    return _ticket(handle, job, step)


def _ticket(handle: JobHandle, job: JobRecord, step: Step) -> Ticket:
    deadline = job.started.timestamp() + step.timeout if step.timeout is not None else None
    return Ticket(handle, job.ordinal, max(deadline, time.time()) if deadline is not None else None)
