"""The same thousand jobs in the triggerer of a real Airflow on PostgreSQL: a thousand runs of a DAG of one task.

The target is a plug-in: the local target, which writes down when it was asked, and for how many jobs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from airflow_mlpipe.testing.airflow_server import AirflowServer
from airflow_mlpipe.testing.postgres import PostgresServer
from benchmarks.measure import BenchmarkError
from benchmarks.report import Bound, Report
from benchmarks.settings import Settings
from benchmarks.thousand_jobs import TARGET, running_jobs, workspace_settings
from benchmarks.triggerer import INTERVAL, JOBS

DAG_ID = "thousand"
_DAG = f'''
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("{DAG_ID}", schedule=None):
    EmptyOperator(task_id="job")
'''
_PLUGIN = '''
"""The local target, with a journal of its questions."""

import json
import os
import time

from airflow_mlpipe.compute.local import LocalTarget


class CountingTarget(LocalTarget):
    async def status(self, handles):
        line = json.dumps([time.time(), os.getpid(), [handle.key for handle in handles]])
        with (self.place.workdir / "asked.jsonl").open("a") as journal:
            journal.write(line + "\\n")
        return await super().status(handles)
'''
_PATIENCE = 240.0
_BLOCKED = re.compile(r"async thread was blocked for ([0-9.]+) seconds")


def run(settings: Settings) -> list[Report]:
    """Defer the tasks, watch the triggerer, kill it and start another one."""
    folder = settings.folder
    environment = _write(folder)
    with running_jobs(folder, JOBS) as handles, PostgresServer() as database:
        settings.say("starting Airflow")
        server = AirflowServer(
            folder / "airflow",
            folder / "dags",
            config={"core.parallelism": "1", "triggerer.job_heartbeat_sec": "5"},
            environment=environment,
            database=database.address,
        )
        with server:
            server.api.wait_dag(DAG_ID)  # it stays paused: nobody else touches its runs
            idle = _memory(server)
            settings.say(f"deferring {JOBS} tasks")
            order = {"dag_id": DAG_ID, "folder": str(folder / "dags"), "target": TARGET, "interval": INTERVAL}
            _defer(server, {**order, "keys": [handle.key for handle in handles]})
            first = _all_asked(folder, time.time())
            settings.say(f"all polling after {first:.0f} s; watching for {2 * INTERVAL:.0f} s")
            since, most, begun = time.time(), 0.0, _log_size(server)
            while time.time() < since + 2 * INTERVAL:
                most = max(most, _memory(server))
                time.sleep(1)
            asked = [jobs for moment, _, jobs in _journal(folder) if moment >= since]
            blocked = (_blocked(server, 0, begun), _blocked(server, begun, None))
            settings.say("killing the triggerer and starting another one")
            server.kill_component("triggerer")
            began = time.time()
            server.start_component("triggerer")
            again = _all_asked(folder, began)
            cancelled = len(list((folder / "jobs").glob("*/cancel")))
    return [_report(idle, most, asked, blocked, (first, again, cancelled))]


def _write(folder: Path) -> dict[str, str]:
    """Write DAG, plug-in and workspace; return the environment of Airflow."""
    (folder / "dags").mkdir()
    (folder / "dags" / "thousand.py").write_text(_DAG)
    metadata = folder / "plugin" / "counting_target-1.dist-info"
    metadata.mkdir(parents=True)
    (folder / "plugin" / "counting_target.py").write_text(_PLUGIN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-target\nVersion: 1\n")
    entry = "[airflow_mlpipe.compute_targets]\ncounting = counting_target:CountingTarget\n"
    (metadata / "entry_points.txt").write_text(entry)
    workspace = workspace_settings(folder)
    workspace["compute"][TARGET]["type"] = "counting"
    connection = json.dumps({"conn_type": "mlpipe", "extra": {"workspace": workspace}})
    return {"AIRFLOW_CONN_MLPIPE_DEFAULT": connection, "PYTHONPATH": str(folder / "plugin")}


def _memory(server: AirflowServer) -> float:
    """Return the resident megabytes of the triggerer's processes."""
    root = psutil.Process(server.pid("triggerer"))
    total = 0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


def _defer(server: AirflowServer, order: dict[str, Any]) -> None:
    words = [sys.executable, "-m", "benchmarks.defer_rows", json.dumps(order)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(words, env=server.environment, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"the tasks could not be deferred:\n{done.stderr[-2000:]}")


def _journal(folder: Path) -> list[tuple[float, int, list[str]]]:
    path = folder / "jobs" / "asked.jsonl"
    text = path.read_text() if path.exists() else ""
    return [tuple(json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _all_asked(folder: Path, since: float) -> float:
    """Return the seconds from a moment until each job was asked for."""
    while True:
        seen: set[str] = set()
        for moment, _, keys in _journal(folder):
            seen.update(keys if moment >= since else ())
            if len(seen) == JOBS:
                return moment - since
        if time.time() > since + _PATIENCE:
            raise BenchmarkError(f"only {len(seen)} of {JOBS} jobs were asked for in {_PATIENCE:.0f} s")
        time.sleep(0.5)


def _log_size(server: AirflowServer) -> int:
    return server.log_path("triggerer").stat().st_size


def _blocked(server: AirflowServer, start: int, end: int | None) -> float:
    """Return the longest time for which the triggerer says, in a part of its log, that its loop was blocked.

    It reports from 0.2 s on.
    """
    text = server.log_path("triggerer").read_bytes()[start:end].decode(errors="replace")
    return max((float(found) for found in _BLOCKED.findall(text)), default=0.0)


def _report(
    idle: float, most: float, asked: list[list[str]], blocked: tuple[float, float], polling: tuple[float, float, int]
) -> Report:
    first, again, cancelled = polling
    result = Report(f"{JOBS} deferred tasks in a real triggerer (PostgreSQL), a look every {INTERVAL:.0f} s")
    per_second = sum(len(keys) for keys in asked) / (2 * INTERVAL)
    result.bounds = [
        Bound("memory over idle at most 100 MB, all its processes", most - idle, 100, "at most", "MB"),
        Bound("its loop is blocked for at most 0.5 s while all wait, by its own log", blocked[1], 0.5, "at most"),
        Bound("at most 35 jobs asked for in a second", per_second, 35, "at most", "/s"),
        Bound("all polled again within 60 s of a kill and a new start", again, 60, "at most"),
    ]
    result.notes = [
        f"idle {idle:.0f} MB, at most {most:.0f} MB; {len(asked)} calls in {2 * INTERVAL:.0f} s; "
        f"all polling {first:.0f} s after the rows were written; {cancelled} jobs cancelled by the kill",
        f"Longest block while Airflow loaded the triggers: {blocked[0]:.2f} s.",
    ]
    return result
