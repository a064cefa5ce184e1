"""A thousand deferred jobs in one process: the product's triggers against a loop of its own for each job.

Both processes import Airflow as a triggerer does and follow the same jobs of the local target at the same interval.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import BenchmarkError
from benchmarks.report import Bound, Report
from benchmarks.settings import Settings, environment
from benchmarks.thousand_jobs import running_jobs, workspace_settings

JOBS = 1000
INTERVAL = 30.0
_ROUNDS = 2.5
"""Intervals that are watched."""
OURS, PEER = "triggers", "each on its own"


def run(settings: Settings) -> list[Report]:
    """Follow the jobs both ways, then kill the process in the middle and start another one."""
    settings.say(f"laying out {JOBS} running jobs")
    with running_jobs(settings.folder, JOBS) as handles:
        (settings.folder / "keys.txt").write_text("\n".join(handle.key for handle in handles))
        found = {}
        for way in (OURS, PEER):
            settings.say(f"{way}: {INTERVAL * _ROUNDS:.0f} s")
            found[way] = follow(settings.folder, way, INTERVAL, INTERVAL * _ROUNDS)
        settings.say("killing the process and starting another one")
        again = restart(settings.folder, INTERVAL)
    return [report(found[OURS], found[PEER], again)]


def start(folder: Path, way: str, interval: float, seconds: float) -> subprocess.Popen[str]:
    """Start a process that follows the jobs."""
    order = {"folder": str(folder), "way": way, "interval": interval, "seconds": seconds}
    connection = json.dumps({"conn_type": "mlpipe", "extra": {"workspace": workspace_settings(folder)}})
    home = {"AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.triggerer_probe", json.dumps(order)],
        env={**environment(), **home, "AIRFLOW_CONN_MLPIPE_DEFAULT": connection},
        cwd=Path(__file__).resolve().parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )


def follow(folder: Path, way: str, interval: float, seconds: float) -> dict[str, Any]:
    """Return the figures of one process.

    :raises BenchmarkError: if it ended early or did not look at every job.
    """
    process = start(folder, way, interval, seconds)
    said, _ = process.communicate(timeout=seconds + 120)
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    if process.returncode or len(lines) < 2:
        raise BenchmarkError(f"{way}: the process ended with {process.returncode} and said {said[-1000:]!r}")
    return dict(lines[-1])


def restart(folder: Path, interval: float) -> float:
    """Kill a process that follows the jobs; return the seconds until another one has looked at each of them."""
    first = start(folder, OURS, interval, 600)
    assert first.stdout is not None
    while '"all_seen"' not in (line := first.stdout.readline()):
        if not line:
            raise BenchmarkError(f"the process ended with {first.wait()}")
    first.kill()
    first.wait()
    began = time.monotonic()
    second = start(folder, OURS, interval, 2 * interval)
    assert second.stdout is not None
    line = next((line for line in second.stdout if '"all_seen"' in line), "")
    seconds = time.monotonic() - began
    second.kill()
    second.wait()
    if not line:
        raise BenchmarkError("not every job was looked at after the restart")
    return seconds


def report(ours: dict[str, Any], peer: dict[str, Any], again: float) -> Report:
    """Judge the figures."""
    result = Report(f"{JOBS} running jobs followed by one process, a look every {INTERVAL:.0f} s")
    result.bounds = [
        Bound("memory over idle at most 100 MB", ours["over_idle_mb"], 100, "at most", "MB"),
        Bound("the event loop stalls for at most 0.5 s", ours["stall_max"], 0.5, "at most"),
        Bound("at most 35 jobs asked for in a second, over any 30 s", ours["jobs_per_second"], 35, "at most", "/s"),
        Bound("all polled again within 60 s of a restart, its start included", again, 60, "at most"),
    ]
    result.notes = [f"{name}: {_words(figures)}" for name, figures in ((OURS, ours), (PEER, peer))]
    times = peer["jobs_in_busiest_second"] / max(1, ours["jobs_in_busiest_second"])
    result.notes.append(
        f"{PEER} against {OURS}: busiest second {times:.1f} times as many jobs, "
        f"longest stall {peer['stall_max'] / ours['stall_max']:.1f} times, calls {peer['calls'] / ours['calls']:.1f} "
        f"times, CPU {peer['cpu_share'] / ours['cpu_share']:.1f} times"
    )
    return result


def _words(figures: dict[str, Any]) -> str:
    seen = figures["all_seen"]
    return (
        f"idle {figures['idle_mb']:.0f} MB, +{figures['over_idle_mb']:.1f} MB; stall max {figures['stall_max']:.3f} s, "
        f"p99 {figures['stall_p99'] * 1000:.1f} ms; {figures['calls']} calls in {figures['seconds']:.0f} s; jobs asked "
        f"for: {figures['jobs_per_second']:.1f} a second, {figures['jobs_in_busiest_second']} in the busiest; "
        f"CPU {figures['cpu_share'] * 100:.0f} % of a core; all seen after {seen and round(seen, 1)} s"
    )
