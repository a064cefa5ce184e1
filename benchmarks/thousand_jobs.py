"""A thousand running jobs of the local target for the price of one: one real job, and folders that name its process.

The target looks at each folder as at any other: it reads the claim and asks the kernel for the process behind it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.base import JobHandle, JobSpec
from airflow_mlpipe.compute.far_side import records
from airflow_mlpipe.compute.local import LocalTarget
from airflow_mlpipe.testing.jobs import unique_key, until

TARGET = "local"
_LEFT_OUT = shutil.ignore_patterns(records.CODE, records.FILES, "bin", "launcher.py")


def workspace_settings(folder: Path) -> dict[str, Any]:
    """Return the workspace of the jobs."""
    return {
        "name": "benchmark",
        "datastores": {"workspaceblobstore": {"type": "local", "path": str(folder / "store")}},
        "compute": {TARGET: {"type": "local", "workdir": str(folder / "jobs")}},
        "scratch": str(folder / "scratch"),
    }


@contextmanager
def running_jobs(folder: Path, count: int) -> Iterator[list[JobHandle]]:
    """Give the handles of so many jobs that run until the end of the block."""
    target = LocalTarget(TARGET, folder / "jobs")
    handle = asyncio.run(target.submit(JobSpec("echo begun; sleep 3600"), unique_key()))
    try:
        asyncio.run(until(target, handle, lambda log: b"begun" in log))
        yield [_clone(folder / "jobs", handle.key, f"{handle.key[:-5]}{number:05d}") for number in range(count)]
    finally:
        asyncio.run(target.cancel(handle, grace=0))


def _clone(jobs: Path, original: str, key: str) -> JobHandle:
    shutil.copytree(jobs / original, jobs / key, ignore=_LEFT_OUT)
    spec = json.loads((jobs / key / records.SPEC).read_text())
    (jobs / key / records.SPEC).write_text(json.dumps({**spec, "key": key}))
    return JobHandle(TARGET, key, key)
