"""Crashes, kills and clears of running jobs, in the real Airflow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.airflow

WaitUntil = Callable[..., Any]


class LongRun:
    """A run of a DAG with one long step, whose job has begun."""

    def __init__(self, airflow: Any, wait_until: WaitUntil, dag_id: str, run_id: str, ticks: int) -> None:
        self.api, self.dag_id, self.run_id = airflow.api, dag_id, run_id
        self._project = airflow.project
        self._before = len(airflow.project.submissions())
        since = time.time()
        self.api.trigger(dag_id, {"n": ticks, "key": run_id}, run_id)
        state = "deferred" if dag_id == "deferred" else "running"
        self.task = self.api.wait_task(dag_id, run_id, "long", [state])
        self.processes: list[Path] = wait_until(lambda: airflow.processes(since))
        self.wait_followed(wait_until, 1)

    def wait_followed(self, wait_until: WaitUntil, try_number: int) -> None:
        """Wait until somebody is there to be told of a kill: before a trigger has started, Airflow tells nobody."""
        wait_until(lambda: ("starting" if self.dag_id == "deferred" else "| begun") in self.log(try_number))

    @property
    def submitted(self) -> int:
        """How many jobs were started since the run began."""
        return len(self._project.submissions()) - self._before

    def log(self, try_number: int) -> str:
        """Return the log of a try, nothing while the API does not know the try yet."""
        try:
            return str(self.api.task_log(self.dag_id, self.run_id, "long", try_number))
        except httpx.HTTPStatusError:
            return ""


@pytest.fixture
def long_run(airflow: Any, wait_until: WaitUntil) -> Callable[..., LongRun]:
    def start(dag_id: str, run_id: str, ticks: int = 600) -> LongRun:
        return LongRun(airflow, wait_until, dag_id, run_id, ticks)

    return start


def gone(processes: list[Path]) -> bool:
    return not any(path.exists() for path in processes)


def test_a_killed_worker_process_is_followed_by_an_adopting_retry(
    airflow: Any, long_run: Callable[..., LongRun]
) -> None:
    run = long_run("held", "kill-9", ticks=16)
    os.kill(run.task["pid"], signal.SIGKILL)
    assert airflow.api.wait_run("held", "kill-9") == "success"
    assert airflow.api.wait_task("held", "kill-9", "long")["try_number"] == 2
    assert "adopting mlp-" in run.log(2)
    assert "| ended" in run.log(2)
    assert run.submitted == 1
    assert list(airflow.api.xcom("held", "kill-9", "long")) == ["o"]


def test_a_deferred_job_shows_its_log_and_survives_the_triggerer(
    airflow: Any, long_run: Callable[..., LongRun], wait_until: WaitUntil
) -> None:
    run = long_run("deferred", "log", ticks=30)
    wait_until(lambda: "| tick" in run.log(1))
    airflow.server.kill_component("triggerer")
    airflow.server.start_component("triggerer")
    assert airflow.api.wait_run("deferred", "log") == "success"
    log = run.log(1)
    assert "| begun" in log
    assert "| ended" in log
    assert "output o:" in log
    assert run.submitted == 1


@pytest.mark.parametrize("dag_id", ["held", "deferred"])
def test_marking_a_task_failed_ends_its_job_with_all_processes(
    dag_id: str, airflow: Any, long_run: Callable[..., LongRun], wait_until: WaitUntil
) -> None:
    run = long_run(dag_id, "mark-failed")
    airflow.api.set_task_state(dag_id, "mark-failed", "long", "failed")
    wait_until(lambda: gone(run.processes))
    assert airflow.api.wait_run(dag_id, "mark-failed") == "failed"
    assert run.submitted == 1


@pytest.mark.parametrize("dag_id", ["held", "deferred"])
def test_clearing_a_running_task_ends_its_job_and_starts_another(
    dag_id: str, airflow: Any, long_run: Callable[..., LongRun], wait_until: WaitUntil
) -> None:
    run = long_run(dag_id, "clear")
    airflow.api.clear(dag_id, "clear", ["long"])
    wait_until(lambda: gone(run.processes))
    wait_until(lambda: run.submitted == 2)
    airflow.api.wait_task(dag_id, "clear", "long", ["deferred" if dag_id == "deferred" else "running"])
    run.wait_followed(wait_until, 2)
    wait_until(lambda: _alive(airflow))
    assert run.submitted == 2
    airflow.api.set_task_state(dag_id, "clear", "long", "failed")


def _alive(airflow: Any) -> list[Path]:
    """Return the processes of long jobs that are still there."""
    files = Path(airflow.project.folder).glob("store/mlpipe/attempts/*/o/child")
    pids = [text for text in (path.read_text().strip() for path in files) if text]
    return [Path("/proc", pid) for pid in pids if Path("/proc", pid).exists()]
