"""The end of a step's life, the same for every mode and target: verify, publish, register, record."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.base import JobState, JobStatus
from airflow_mlpipe.content import DataRef, Manifest
from airflow_mlpipe.errors import OutputMissingError, StepFailedError
from airflow_mlpipe.execution.choice import asset_kind, describe, latest_metrics
from airflow_mlpipe.execution.job import output_places, remove_scratch
from airflow_mlpipe.execution.run_info import RunInfo, Say, Ticket, silent
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import InputSource, JobRecord, StepRecord
from airflow_mlpipe.workspace import Workspace

_TAIL_LINES = 20


def finish(
    workspace: Workspace, step: Step, run: RunInfo, ticket: Ticket, status: JobStatus, say: Say = silent
) -> StepRecord:
    """End a step whose job has ended.

    :param status: the job's final status.
    :param say: takes lines of progress.
    :returns: the step's final record.
    :raises StepFailedError: if the job did not succeed, with the tail of the script's own output.
    :raises OutputMissingError: if it succeeded without writing what it declared.
    """
    job = next(job for job in workspace.runs.jobs(run.pipeline, run.run_id, step.name) if job.ordinal == ticket.ordinal)
    if status.state is not JobState.SUCCEEDED:
        tail = asyncio.run(_log_tail(workspace, ticket))
        raise _failed(workspace, step, run, job, status, tail)
    return finish_outputs(workspace, step, run, job, status.metrics, status.seconds or 0.0, say)


def finish_outputs(
    workspace: Workspace,
    step: Step,
    run: RunInfo,
    job: JobRecord,
    metrics: Sequence[Mapping[str, Any]],
    seconds: float,
    say: Say = silent,
) -> StepRecord:
    """Verify and publish what a step wrote, then record it. The order is: outputs, manifest, registry, reuse record, step record."""
    try:
        outputs = _collect(workspace, step, job)
    except OutputMissingError as error:
        status = JobStatus(JobState.FAILED, message=str(error), exit_code=0, seconds=seconds)
        _failed(workspace, step, run, job, status, "")
        raise
    plain = [dict(item) for item in metrics]
    registered = _register(workspace, step, run, job, outputs, plain)
    _publish(workspace, step, run, job, outputs, {"metrics": plain, "registered": registered, "seconds": seconds}, say)
    done = StepRecord(
        pipeline=run.pipeline, run_id=run.run_id, step=step.name, decision="ran", reason=job.reason, epoch=job.epoch,
        key=job.fingerprint, outputs=outputs, metrics=plain, registered=registered, started=job.started,
        ended=datetime.now(timezone.utc), seconds=seconds, log=job.log,
    )  # fmt: skip
    workspace.runs.write_step(done)
    workspace.runs.write_job(
        run.pipeline, run.run_id, step.name, job.model_copy(update={"ended": JobState.SUCCEEDED.value})
    )
    remove_scratch(workspace, job)
    _say_outputs(done, say)
    return done


def _say_outputs(done: StepRecord, say: Say) -> None:
    for port, ref in done.outputs.items():
        digest = ref.content.digest.partition(":")[2][:12]
        registered = f"; registered {done.registered[port]}" if port in done.registered else ""
        say(f"output {port}: {describe({port: ref})}, content {digest}{registered}")


def _collect(workspace: Workspace, step: Step, job: JobRecord) -> dict[str, DataRef]:
    store = workspace.datastore()
    outputs: dict[str, DataRef] = {}
    for port, place in output_places(workspace, step, job).items():
        declared = step.outputs[port]
        manifest = store.manifest(place.path) if place.direct else _upload(workspace, place.local, place.path)
        if manifest is None or not manifest.entries:
            if declared.optional:
                continue
            raise OutputMissingError(
                f"Step {step.name} ended well but wrote nothing to its output {port!r}. Write to the path that ${{{{outputs.{port}}}}} "
                "gives, or declare the output as optional."
            )
        workspace.reuse.write_manifest(job.attempt, port, manifest)
        outputs[port] = DataRef(store.name, place.path, declared.type, manifest.summary)
    return outputs


def _upload(workspace: Workspace, local: Path, path: str) -> Manifest | None:
    if not local.exists() or (local.is_dir() and not any(item.is_file() for item in local.rglob("*"))):
        return None
    return workspace.datastore().upload(local, path)


def _register(
    workspace: Workspace,
    step: Step,
    run: RunInfo,
    job: JobRecord,
    outputs: Mapping[str, DataRef],
    metrics: list[dict[str, Any]],
) -> dict[str, str]:
    registered: dict[str, str] = {}
    for port, ref in outputs.items():
        name = step.outputs[port].name
        if name is None:
            continue
        lineage = {
            "pipeline": run.pipeline,
            "run_id": run.run_id,
            "step": step.name,
            "key": job.fingerprint,
            "inputs": job.inputs,
        }
        asset = workspace.registry.register(
            asset_kind(ref.type), name, ref, tags={}, lineage=lineage, metrics=latest_metrics(metrics)
        )
        registered[port] = f"{asset.name}:{asset.version}"
    return registered


def _publish(
    workspace: Workspace,
    step: Step,
    run: RunInfo,
    job: JobRecord,
    outputs: dict[str, DataRef],
    gained: dict[str, Any],
    say: Say,
) -> None:
    mode = run.mode(step.name)
    if mode == "disable" or not step.is_deterministic or job.fingerprint is None:
        return
    changed = _changed_inputs(workspace, job.sources)
    if changed:
        say(f"not kept for reuse: input {', '.join(changed)} changed while the step ran")
        return
    record = ReuseRecord(
        key=job.fingerprint, nonce=secrets.token_hex(16), parts=job.parts, attempt=job.attempt, outputs=outputs,
        pipeline=run.pipeline, run_id=run.run_id, step=step.name, created=datetime.now(timezone.utc), **gained,
    )  # fmt: skip
    refresh = mode == "force" or job.reason.startswith("cleared")
    workspace.reuse.publish(record, replace=refresh)
    workspace.reuse.remember(run.pipeline, step.name, record.key)


def _changed_inputs(workspace: Workspace, sources: Sequence[InputSource]) -> list[str]:
    changed = []
    for source in sources:
        if source.datastore is None:
            now = workspace.memo.summary(Path(source.path), source.include)
        else:
            now = workspace.datastore(source.datastore).summary(source.path, source.include)
        if now is None or now.digest != source.digest:
            changed.append(source.port)
    return changed


def _failed(
    workspace: Workspace, step: Step, run: RunInfo, job: JobRecord, status: JobStatus, tail: str
) -> StepFailedError:
    """Record the failure and return the error to raise."""
    message = _failure_message(step, job, status, tail)
    workspace.runs.write_job(run.pipeline, run.run_id, step.name, job.model_copy(update={"ended": status.state.value}))
    now = datetime.now(timezone.utc)
    workspace.runs.write_step(
        StepRecord(
            pipeline=run.pipeline,
            run_id=run.run_id,
            step=step.name,
            decision="failed",
            reason=message,
            epoch=job.epoch,
            key=job.fingerprint,
            started=job.started,
            ended=now,
            seconds=status.seconds or 0.0,
            log=job.log,
        )  # fmt: skip
    )
    remove_scratch(workspace, job)
    return StepFailedError(message, status.exit_code)


def _failure_message(step: Step, job: JobRecord, status: JobStatus, tail: str) -> str:
    lines = [f"Step {step.name} {_how(status)}"]
    if status.message:
        lines.append(status.message)
    if tail:
        lines += ["The last lines of its output:", *(f"    {line}" for line in tail.splitlines())]
    if job.log:
        lines.append(f"Full log: {job.log}")
    lines.append(_advice(status))
    return "\n".join(lines)


def _how(status: JobStatus) -> str:
    if status.state is JobState.LOST:
        return "was lost: its compute target no longer knows it and it left no result."
    if status.state is JobState.CANCELLED:
        return "was cancelled."
    if status.exit_code is None:
        return "failed."
    return f"failed with exit code {status.exit_code}."


def _advice(status: JobStatus) -> str:
    if status.state is JobState.LOST:
        return "A retry or a clear of the task runs it anew; make sure first that nothing of it is still running."
    return "Mend the cause and clear the task (or run the pipeline again): steps that ended well are reused."


async def _log_tail(workspace: Workspace, ticket: Ticket) -> str:
    target = workspace.compute(ticket.handle.target)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    rest = b""
    cursor: str | None = None
    while True:
        chunk = await target.logs(ticket.handle, cursor)
        *lines, rest = (rest + chunk.data).split(b"\n")
        tail.extend(line.decode(errors="replace") for line in lines)
        if not chunk.data or chunk.cursor == cursor:
            break
        cursor = chunk.cursor
    if rest:
        tail.append(rest.decode(errors="replace"))
    return "\n".join(tail)
