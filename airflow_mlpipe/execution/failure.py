"""What a user reads when a step has failed: what happened, the last lines, where the rest is, what to do."""

from __future__ import annotations

from collections import deque

from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobState, JobStatus
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import JobRecord

_TAIL_LINES = 20


def failure_message(step: Step, job: JobRecord, status: JobStatus, tail: str) -> str:
    """Return the message of a failed step.

    :param status: how its job ended.
    :param tail: last lines of the script's output, empty if there are none.
    """
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
    if not status.exit_code:
        return "failed."
    return f"failed with exit code {status.exit_code}."


def _advice(status: JobStatus) -> str:
    if status.state is JobState.LOST:
        return "A retry or a clear of the task runs it anew; make sure first that nothing of it is still running."
    return "Mend the cause and clear the task (or run the pipeline again): steps that ended well are reused."


async def log_tail(target: ComputeTarget, handle: JobHandle) -> str:
    """Return the last lines of a job's output."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    rest = b""
    cursor: str | None = None
    while True:
        chunk = await target.logs(handle, cursor)
        *lines, rest = (rest + chunk.data).split(b"\n")
        tail.extend(line.decode(errors="replace") for line in lines)
        if not chunk.data or chunk.cursor == cursor:
            break
        cursor = chunk.cursor
    if rest:
        tail.append(rest.decode(errors="replace"))
    return "\n".join(tail)
