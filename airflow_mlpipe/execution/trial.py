"""Trying a compute target with a job of one second."""

from __future__ import annotations

import secrets
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobSpec, JobState, JobStatus
from airflow_mlpipe.errors import ComputeError
from airflow_mlpipe.execution.hub import status_of

_COMMAND = (
    'echo "clock $(date +%s.%N)"; echo "machine $(uname -n)"; '
    'echo "python $(python3 -c "import platform; print(platform.python_version())")"; sleep 1'
)
_MOST = 1 << 16
_PAUSE = 0.1


@dataclass(frozen=True)
class Trial:
    """How a target did.

    :param submit_seconds: until the job was accepted, its folder laid out there included.
    :param status_seconds: median time of one question.
    :param total_seconds: from submission to the end that was seen; the job itself takes one second.
    :param clock_seconds: how far the clock of the target's machine is ahead of ours.
    :param clock_error: by how much that may be wrong.
    """

    target: str
    submit_seconds: float
    status_seconds: float
    total_seconds: float
    machine: str
    python: str
    clock_seconds: float | None
    clock_error: float
    capabilities: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def try_target(target: ComputeTarget, patience: float = 120.0) -> Trial:
    """Run a small job and look at it until it has ended.

    :param patience: seconds after which the job is cancelled and the trial counts as failed.
    :raises ComputeError: if the target cannot be reached, refuses the job, or the job does not end well.
    """
    return loop.run(_try(target, patience))


async def _try(target: ComputeTarget, patience: float) -> Trial:
    key = f"mlp-check-{secrets.token_hex(16)}"
    began, moment = time.monotonic(), time.time()
    handle = await target.submit(JobSpec(_COMMAND), key)
    submitted = time.monotonic() - began
    try:
        questions, status = await _to_the_end(target, handle, patience)
        total, heard = time.monotonic() - began, time.time() - 1
        said = (await target.logs(handle, None, _MOST)).data.decode("utf-8", "replace")
    finally:
        await target.cancel(handle, grace=1.0)
    await target.forget(handle)
    if status.state is not JobState.SUCCEEDED:
        raise ComputeError(
            f"The trial job of {target.name} ended as {status.state.value}: {status.message} {said}".strip()
        )
    words = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    clock = float(words["clock"]) if "clock" in words else None
    return Trial(
        target=target.name,
        submit_seconds=submitted,
        status_seconds=statistics.median(questions),
        total_seconds=total,
        machine=words.get("machine", ""),
        python=words.get("python", ""),
        clock_seconds=None if clock is None else clock - (moment + heard) / 2,
        clock_error=(heard - moment) / 2,
        capabilities=_plain(asdict(target.capabilities)),
    )


async def _to_the_end(target: ComputeTarget, handle: JobHandle, patience: float) -> tuple[list[float], JobStatus]:
    """Return how long each question took, and the final status."""
    questions: list[float] = []
    deadline = time.monotonic() + patience
    while True:
        asked = time.monotonic()
        status = await status_of(target, handle)
        questions.append(time.monotonic() - asked)
        if status.state.is_terminal:
            return questions, status
        if time.monotonic() > deadline:
            raise ComputeError(
                f"The trial job of {target.name} is still {status.state.value} after {patience:g} s and was "
                "cancelled. Is there room on the target?"
            )
        await loop.sleep(_PAUSE)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in values.items()}
