"""Waiting for jobs in tests: every wait ends, and says what it saw."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobStatus

PATIENCE = 60.0
"""Seconds after which a wait is a failure."""


def unique_key() -> str:
    """Return a run key that nobody has used."""
    return f"mlp-{uuid.uuid4().hex}"


def alive(pid: int) -> bool:
    """Whether a process of this machine runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


async def wait_for(target: ComputeTarget, handle: JobHandle) -> JobStatus:
    """Return the status of a job once it has ended."""
    deadline = time.monotonic() + PATIENCE
    while True:
        (status,) = await target.status([handle])
        if status.state.is_terminal:
            return status
        assert time.monotonic() < deadline, f"{handle} is still {status.state} after {PATIENCE} s"
        await asyncio.sleep(0.02)


async def whole_log(target: ComputeTarget, handle: JobHandle, limit: int = 65536) -> bytes:
    """Return all output of a job up to its end."""
    data, cursor = b"", None
    deadline = time.monotonic() + PATIENCE
    while True:
        chunk = await target.logs(handle, cursor, limit)
        assert len(chunk.data) <= limit
        data, cursor = data + chunk.data, chunk.cursor
        if chunk.eof:
            return data
        assert time.monotonic() < deadline, f"The log of {handle} has not ended after {PATIENCE} s"
        if not chunk.data:
            await asyncio.sleep(0.02)


async def until(target: ComputeTarget, handle: JobHandle, found: Callable[[bytes], bool]) -> bytes:
    """Return the output of a running job as soon as it holds what is looked for."""
    deadline = time.monotonic() + PATIENCE
    while True:
        data = (await target.logs(handle, None, 1 << 20)).data
        if found(data):
            return data
        assert time.monotonic() < deadline, f"The log of {handle} holds only {data[-500:]!r}"
        await asyncio.sleep(0.02)
