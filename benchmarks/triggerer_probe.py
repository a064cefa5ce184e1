"""A process that waits for many jobs and says what that costs it: ``python -m benchmarks.triggerer_probe JSON``.

It prints one line when every job has been looked at, and one at its end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import psutil

from airflow_mlpipe.compute.base import JobHandle, JobStatus
from airflow_mlpipe.compute.local import LocalTarget
from airflow_mlpipe.execution.run_info import Ticket
from airflow_mlpipe.triggers.job import JobTrigger
from airflow_mlpipe.triggers.workspaces import shared_workspace
from benchmarks.thousand_jobs import TARGET

_TICK = 0.01


class CountingTarget(LocalTarget):
    """Notes when it was asked, and for how many jobs."""

    def __init__(self, workdir: Path) -> None:
        super().__init__(TARGET, workdir)
        self.asked: list[tuple[float, int]] = []
        self.keys: set[str] = set()

    async def status(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """Answer as ever."""
        self.asked.append((time.monotonic(), len(handles)))
        self.keys.update(handle.key for handle in handles)
        return await super().status(handles)


class Stalls:
    """How late the event loop was for a small sleep."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def measure(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.monotonic() + _TICK
            await asyncio.sleep(_TICK)
            self.late.append(time.monotonic() - due)


def memory() -> float:
    """Return the resident megabytes of this process."""
    return float(psutil.Process(os.getpid()).memory_info().rss) / 1e6


async def probe(folder: Path, keys: list[str], interval: float, seconds: float, way: str) -> dict[str, Any]:
    """Wait for the jobs for some seconds.

    :param way: ``triggers``: the product's; ``each on its own``: a loop for each job that asks for this job alone.
    """
    workspace = await shared_workspace("mlpipe_default", str(folder))
    target = CountingTarget(folder / "jobs")
    workspace._targets[TARGET] = target  # noqa: SLF001 - the same target, with a counter
    stalls = Stalls()
    gc.collect()
    idle, cpu, began = memory(), time.process_time(), time.monotonic()
    work: list[Coroutine[Any, Any, None]] = [_follow(way, folder, target, key, interval) for key in keys]
    tasks = [asyncio.create_task(each) for each in (stalls.measure(), *work)]
    most = 0.0
    all_seen = None
    while time.monotonic() < began + seconds:
        await asyncio.sleep(0.25)
        most = max(most, memory())
        if all_seen is None and len(target.keys) == len(keys):
            all_seen = time.monotonic() - began
            print(json.dumps({"all_seen": all_seen}), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return _figures(target, stalls, all_seen, (idle, most), (began, time.process_time() - cpu, interval))


def _figures(
    target: CountingTarget,
    stalls: Stalls,
    all_seen: float | None,
    megabytes: tuple[float, float],
    spent: tuple[float, float, float],
) -> dict[str, Any]:
    began, cpu, interval = spent
    seconds = time.monotonic() - began
    per_second = [0] * (int(seconds) + 2)
    for moment, jobs in target.asked:
        per_second[int(moment - began)] += jobs
    late = sorted(stalls.late)
    window = max(1, int(interval))
    sums = [sum(per_second[start : start + window]) / window for start in range(max(1, len(per_second) - window))]
    return {
        "idle_mb": megabytes[0],
        "over_idle_mb": megabytes[1] - megabytes[0],
        "stall_max": late[-1],
        "stall_p99": late[int(len(late) * 0.99)],
        "jobs_per_second": max(sums),
        "jobs_in_busiest_second": max(per_second),
        "calls": len(target.asked),
        "seconds": seconds,
        "cpu_share": cpu / seconds,
        "all_seen": all_seen,
    }


async def _follow(way: str, folder: Path, target: LocalTarget, key: str, interval: float) -> None:
    handle = JobHandle(TARGET, key, key)
    if way == "triggers":
        job = {"pipeline": "benchmark", "run_id": "r", "step": key}
        polling = {"interval": interval, "deadline": time.time() + 86400}
        trigger = JobTrigger("mlpipe_default", str(folder), job, Ticket(handle, 1).to_json(), polling, "0")
        async for _ in trigger.run():
            raise RuntimeError(f"the job {key} ended")
        return
    cursor = None
    while True:
        await target.status([handle])
        cursor = (await target.logs(handle, cursor)).cursor
        await asyncio.sleep(interval)


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    place = Path(order["folder"])
    names = (place / "keys.txt").read_text().split()
    print(json.dumps(asyncio.run(probe(place, names, order["interval"], order["seconds"], order["way"]))), flush=True)
