"""Ending long steps in a real Airflow: marked failed, cleared, timed out; while running, deferred, and in a hung poll.

The jobs are stubborn: the command ignores TERM, and so does a grandchild in a session of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from airflow_mlpipe.testing.airflow_api import AirflowApi
from airflow_mlpipe.workspace import Workspace

SITUATIONS = ("running", "deferred", "hung", "hung_running")
EVENTS = ("failed", "clear", "timeout")
TIMEOUT = 12
"""Seconds; the job must have begun and be followed by then."""
_PATIENCE = 150.0

DAGS = f'''
from datetime import timedelta

from airflow.sdk import DAG, Param
from airflow_mlpipe.operators import CommandOperator

STUBBORN = """trap '' TERM; echo $$ > ${{{{outputs.o}}}}/pid
(trap '' TERM; exec setsid sleep 301) & echo $! > ${{{{outputs.o}}}}/child
echo ${{{{inputs.key}}}}; sleep 300"""
WAITING = {{
    "running": {{"deferrable": False, "compute": "local"}},
    "deferred": {{"defer_after": 0.5, "compute": "local"}},
    "hung": {{"defer_after": 0.5, "compute": "hung"}},
    "hung_running": {{"deferrable": False, "compute": "hung"}},
}}

for situation, options in WAITING.items():
    for limit in (None, timedelta(seconds={TIMEOUT})):
        kind = "timeout" if limit else "event"
        with DAG(f"ends_{{situation}}_{{kind}}", schedule=None, params={{"key": Param("x")}}):
            CommandOperator(
                task_id="long",
                command=STUBBORN,
                inputs={{"key": "${{{{parent.inputs.key}}}}"}},
                outputs={{"o": {{}}}},
                poll_interval=0.5,
                execution_timeout=limit,
                **options,
            )
'''
DAG_IDS = [f"ends_{situation}_{kind}" for situation in SITUATIONS for kind in ("event", "timeout")]

PLUGIN = '''
"""A compute target whose polls hang while there is no file ``answers``, and everything else works."""

import asyncio
import os

from airflow_mlpipe.compute.local import LocalTarget


class HungTarget(LocalTarget):
    async def status(self, handles):
        if (self.place.workdir / "answers").exists():
            return await super().status(handles)
        for handle in handles:
            (self.place.workdir / f"hangs-{handle.key}-{os.getpid()}").touch()
        await asyncio.Event().wait()
'''


def write_plugin(folder: Path) -> dict[str, str]:
    """Lay out a distribution with the target ``hung``, as pip would, and return the environment in which it counts."""
    metadata = folder / "hung_target-1.dist-info"
    metadata.mkdir(parents=True)
    (folder / "hung_target.py").write_text(PLUGIN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hung-target\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[airflow_mlpipe.compute_targets]\nhung = hung_target:HungTarget\n")
    return {"PYTHONPATH": str(folder)}


@dataclass
class Case:
    """One long step, and how it shall end.

    :param workspace: of the DAGs; its targets ``local`` and ``hung`` share a folder.
    :ivar key: of the job.
    :ivar seconds: from the event to the end of the last process.
    """

    api: AirflowApi
    workspace: Workspace
    situation: str
    event: str
    run_id: str
    key: str = ""
    seconds: float = 0.0

    @property
    def dag_id(self) -> str:
        """The DAG that the step is in."""
        return f"ends_{self.situation}_{'timeout' if self.event == 'timeout' else 'event'}"

    def begin(self) -> None:
        """Start the run."""
        self.api.trigger(self.dag_id, {"key": self.run_id}, self.run_id)

    def wait_begun(self, after: str = "") -> None:
        """Wait until the job's processes are there and somebody follows the job.

        :param after: key of an earlier job that is not meant.
        """
        began = time.monotonic()
        while not self._has_begun(after):
            if time.monotonic() > began + _PATIENCE:
                raise TimeoutError(f"{self}: not begun; {self.api.task_instances(self.dag_id, self.run_id)}")
            time.sleep(0.2)

    def _has_begun(self, after: str) -> bool:
        jobs = self._jobs()
        if not jobs or jobs[-1].key == after:
            return False
        self.key = jobs[-1].key
        return bool(self._processes()) and self._followed(len(jobs))

    def end(self) -> None:
        """Do what a person does, or wait until the timeout is over."""
        if self.event == "failed":
            self.api.set_task_state(self.dag_id, self.run_id, "long", "failed")
        elif self.event == "clear":
            self.api.clear(self.dag_id, self.run_id, ["long"])
        self._ended = time.monotonic()

    def wait_gone(self, patience: float) -> None:
        """Wait until no process of the job is left; note how long that took.

        A timeout counts from when the job was begun, thus a little more than it took.
        """
        limit = self._ended + patience + (TIMEOUT if self.event == "timeout" else 0)
        while self._processes():
            if time.monotonic() > limit:
                raise TimeoutError(f"{self}: processes {self._processes()} are left after {patience} s")
            time.sleep(0.1)
        if not self.seconds:
            waited = TIMEOUT if self.event == "timeout" else 0
            self.seconds = max(0.01, time.monotonic() - self._ended - waited)

    def close(self) -> None:
        """End what a clear has begun anew, and wait until the step's record is closed."""
        if self.event == "clear":
            ended = self.key
            self.wait_begun(ended)
            self.api.set_task_state(self.dag_id, self.run_id, "long", "failed")
            self._ended = time.monotonic()
            self.wait_gone(_PATIENCE)
            self.key = ended
        began = time.monotonic()
        while self.outcome is None:
            if time.monotonic() > began + _PATIENCE:
                raise TimeoutError(f"{self}: the record of the job is still open")
            time.sleep(0.2)

    @property
    def outcome(self) -> str | None:
        """What the record says of the job."""
        return next(job.ended for job in self._jobs() if job.key == self.key)

    def _jobs(self) -> list[Any]:
        return self.workspace.runs.jobs(self.dag_id, self.run_id, "long")

    def _processes(self) -> list[int]:
        """Return the processes of the job that are alive, once both have said their numbers."""
        attempt = next(job.attempt for job in self._jobs() if job.key == self.key)
        files = [self.workspace.folder / "store" / attempt / "o" / name for name in ("pid", "child")]
        if not all(path.is_file() and path.read_text().strip() for path in files):
            return []
        pids = [int(path.read_text()) for path in files]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    def _followed(self, try_number: int) -> bool:
        """Whether somebody would be told of a kill: before a trigger has started, Airflow tells nobody."""
        if self.event == "timeout":
            return True
        hanging = len(list((self.workspace.folder / "jobs").glob(f"hangs-{self.key}-*")))
        if self.situation.startswith("hung"):
            return hanging >= (2 if self.situation == "hung" else 1)
        if self.api.task_states(self.dag_id, self.run_id)["long"] != self.situation:
            return False
        word = "starting" if self.situation == "deferred" else f"| {self.run_id}"
        return word in self._log(try_number)

    def _log(self, try_number: int) -> str:
        """Return the log of a try, nothing while the API does not know the try yet."""
        try:
            return self.api.task_log(self.dag_id, self.run_id, "long", try_number)
        except httpx.HTTPStatusError:
            return ""


def orphans(workspace: Workspace) -> list[str]:
    """Return the marks of processes that are left of any job of the workspace."""
    wanted = str(workspace.folder / "jobs").encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            entries = environ.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(entry.startswith(b"MLPIPE_JOB_DIR=" + wanted) for entry in entries):
            found.append(environ.parent.name)
    return found
