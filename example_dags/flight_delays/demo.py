"""The flight delay pipeline on a real Airflow, from nothing: ``make demo``.

Everything lives in ``.demo/`` of the checkout: Airflow with SQLite on loopback, the landing folder, the workspace, the
DAG file. The scheduler catches up five months of 2013; then the last month is started over REST with another learning
rate, and once more with the same one, which reuses every step. At the end nothing is left running, unless ``--keep``
is given.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from demo_report import registry_faults, short, show_registry, show_runs
from demo_store import CREDENTIALS, secret_faults, use_azurite
from landing import lay_out
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.testing.airflow_api import AirflowApi
from airflow_mlpipe.testing.airflow_server import AirflowServer, end_sessions
from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.workspace import load_workspace

HERE = Path(__file__).resolve().parent
ROOT = Path.cwd() / ".demo"
KEPT = ROOT / "airflow.json"
DAG = "flight_delays"
SCHEDULED_RUNS = 5
REST_CONF = {"month": "2013-11", "learning_rate": 0.05}
PATIENCE = 600
"""Seconds after which the demo gives up on a run, on a machine however slow."""

console = Console(width=None if sys.stdout.isatty() else 150)


class DemoError(Exception):
    """The demo cannot go on; the message is all there is to say."""


def main() -> int:
    """Run the demo, or end one that was kept."""
    parser = argparse.ArgumentParser(description="The flight delay pipeline on a real Airflow.")
    parser.add_argument("--keep", action="store_true", help="leave Airflow up at the end")
    parser.add_argument("--stop", action="store_true", help="end an Airflow that --keep left up")
    parser.add_argument("--store", choices=("local", "azurite"), default="local", help="where outputs and records go")
    parser.add_argument("--credential", choices=CREDENTIALS, default=CREDENTIALS[0], help="how Azurite knows us")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if arguments.stop:
        console.print("Airflow is stopped." if stop_kept() else "No demo is running.")
        return 0
    try:
        return demo(arguments.keep, arguments.store, arguments.credential)
    except (DemoError, MLPipeError, RuntimeError, TimeoutError) as error:
        console.print(f"The demo failed: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; nothing is left running.")
        return 130


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def demo(keep: bool, store: str = "local", credential: str = CREDENTIALS[0]) -> int:
    """Set up, run, report.

    :param keep: leave Airflow up.
    :param store: ``azurite`` for a Blob account of its own as the default datastore.
    :param credential: what that account is reached with.
    :returns: exit code.
    """
    began = time.monotonic()
    set_up()
    azurite = start_azurite(credential) if store == "azurite" else None
    server = AirflowServer(ROOT / "airflow", ROOT / "dags", config={"core.dags_are_paused_at_creation": "True"})
    kept = False
    try:
        with console.status("Starting Airflow"):
            server.start()
            server.wait_ready()
            server.api.wait_dag(DAG)
        console.print(f"Airflow is up after {time.monotonic() - began:.0f} s: {server.url}")
        run_all(server)
        faults = report(azurite)
        if keep and not faults:
            hand_over(server, azurite)
            kept = True
    finally:
        if not kept:
            server.stop()
            end_jobs()
            if azurite:
                azurite.stop()
    console.print(f"DAG file: {(ROOT / 'dags' / f'{DAG}.py').relative_to(Path.cwd())}")
    if not kept:
        console.print("UI: make demo KEEP=1 leaves Airflow up and prints its address.")
    console.print(f"{time.monotonic() - began:.0f} s in all.")
    if faults:
        raise DemoError(" ".join(faults))
    return 0


def start_azurite(credential: str) -> AzuriteServer:
    """Start Azurite and make it the default datastore."""
    with console.status("Starting Azurite"):
        azurite = use_azurite(ROOT / "workspace.yml", ROOT / "azurite", credential)
    console.print(f"Outputs and records go to Azure Blob Storage: {azurite.account_url}", highlight=False)
    return azurite


def set_up() -> None:
    """Make an empty ``.demo`` with a landing folder, a workspace and the generated DAG."""
    stop_kept()
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    shutil.copy(HERE / "workspace.yml", ROOT / "workspace.yml")
    landing = load_workspace(ROOT / "workspace.yml").datastore("landing").local_path("")
    if landing is None:
        raise DemoError("The landing datastore of workspace.yml must be a local folder.")
    with console.status("Laying out the flights of 2013"):
        files = lay_out(landing)
    console.print(f"{len(files)} files of flights and weather in {landing.relative_to(Path.cwd())}")
    spec = HERE / "pipeline.yml"
    command = [sys.executable, "-m", "airflow_mlpipe.cli.main", "generate", str(spec), "-o", str(ROOT / "dags")]
    console.print(f"$ mlpipe generate {spec.name} -o .demo/dags", style="bold", highlight=False)
    if subprocess.run(command, check=False).returncode:
        raise DemoError("mlpipe generate did not write the DAG file, see above.")


def run_all(server: AirflowServer) -> None:
    """Let the scheduler catch up, then start two runs over REST, one after the other (SQLite serves one client)."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        watcher = Watcher(server.api, progress)
        server.api.unpause(DAG)
        watcher.follow(SCHEDULED_RUNS)
        for number, run_id in enumerate(("rest_0.05", "rest_0.05_again"), start=1):
            request = json.dumps({"logical_date": None, "conf": REST_CONF})
            progress.console.print(f"POST /api/v2/dags/{DAG}/dagRuns {request}", highlight=False)
            server.api.trigger(DAG, REST_CONF, run_id)
            watcher.follow(SCHEDULED_RUNS + number)


class Watcher:
    """Shows a bar for each run, and a line when it has ended.

    :param api: of the Airflow to look at.
    :param progress: the display.
    """

    def __init__(self, api: AirflowApi, progress: Progress) -> None:
        self._api = api
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._ended: set[str] = set()

    def follow(self, expected: int) -> None:
        """Return when so many runs have ended well.

        :raises DemoError: when a run failed, with the end of the log of what failed.
        """
        deadline = time.monotonic() + PATIENCE
        while len(self._ended) < expected:
            if time.monotonic() > deadline:
                raise DemoError(f"Only {len(self._ended)} of {expected} runs ended within {PATIENCE} s.")
            for run in self._api.runs(DAG):
                if run["dag_run_id"] not in self._ended:
                    self._look(str(run["dag_run_id"]), str(run["state"]))
            time.sleep(0.5)

    def _look(self, run_id: str, state: str) -> None:
        tasks = self._api.task_instances(DAG, run_id)
        done = sum(task["state"] in ("success", "skipped") for task in tasks)
        if run_id not in self._bars:
            self._bars[run_id] = self._progress.add_task(short(run_id), total=None)
        self._progress.update(self._bars[run_id], completed=done, total=len(tasks) or None)
        if state == "failed":
            raise DemoError(self._failure(run_id, tasks))
        if state == "success":
            self._ended.add(run_id)
            reused = sum(task["state"] == "skipped" for task in tasks)
            text = f"{short(run_id)} ended well; the plan reused {reused} of {len(tasks) - 1} steps"
            self._progress.console.print(text, highlight=False)

    def _failure(self, run_id: str, tasks: list[dict[str, Any]]) -> str:
        for task in tasks:
            if task["state"] == "failed":
                log = self._api.task_log(DAG, run_id, task["task_id"], task["try_number"])
                return f"{task['task_id']} of {run_id} failed:\n{log[-4000:]}"
        return f"run {run_id} failed; its tasks: { {task['task_id']: task['state'] for task in tasks} }"


def report(azurite: AzuriteServer | None) -> list[str]:
    """Print what happened in each run and what is registered.

    :returns: what is not as it must be, in sentences.
    """
    workspace = load_workspace(ROOT / "workspace.yml")
    last = show_runs(console, workspace, DAG)
    show_registry(console, workspace, "flight-delays")
    faults = registry_faults(workspace, DAG, "flight-delays")
    if azurite:
        faults += secret_faults(azurite, ROOT)
    again = [record.step for record in last if record.decision != "reused"]
    if again:
        faults.append(f"The last run should have reused every step but ran {', '.join(again)}.")
    return faults


def hand_over(server: AirflowServer, azurite: AzuriteServer | None) -> None:
    """Leave Airflow up, and say where it is and how to end it."""
    sessions = {
        pid: psutil.Process(pid).create_time() for pid in [*server.leave_running(), *([azurite.pid] if azurite else [])]
    }
    KEPT.touch(mode=0o600)
    KEPT.write_text(json.dumps({"sessions": sessions}), encoding="utf-8")
    console.print(
        f"\nAirflow stays up: {server.url}  user {server.username}  password {server.password}", highlight=False
    )
    console.print("End it with: make demo-stop")


def stop_kept() -> bool:
    """End an Airflow that an earlier demo left up; False if there is none."""
    if not KEPT.exists():
        return False
    sessions = json.loads(KEPT.read_text(encoding="utf-8"))["sessions"]
    alive = [int(pid) for pid, created in sessions.items() if _is_same(int(pid), created)]
    end_sessions(alive)
    KEPT.unlink()
    return bool(alive)


def _is_same(pid: int, created: float) -> bool:
    try:
        return bool(psutil.Process(pid).create_time() == created)
    except psutil.NoSuchProcess:
        return False


def end_jobs() -> None:
    """End the jobs that are still running: they outlive an Airflow that goes away, as they should, but not the demo."""
    jobs = str(ROOT.resolve())
    for process in psutil.process_iter(["environ"]):
        folder = (process.info["environ"] or {}).get("MLPIPE_JOB_DIR", "")
        if folder.startswith(jobs):
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
