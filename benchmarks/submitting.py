"""A worker that begins a step on the local target, to be killed at any of its system calls."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

_TEXT = "done\n"
_PATIENCE = 120.0
_SETTINGS = {
    "name": "submitting",
    "datastores": {"workspaceblobstore": {"type": "local", "path": "store"}},
    "compute": {"local": {"type": "local", "workdir": "jobs"}},
}


class Submit:
    """A step begins: look-up, flight, intent, job folder, launcher, handle."""

    name = "submit"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = RunInfo("kills", "run", {}, {}, folder)
        command = "echo done > ${{outputs.result}}/text"
        self.step = checked(Step, {"name": "work", "command": command, "outputs": {"result": {}}})

    def work(self) -> None:
        """What is killed."""
        begin(self._workspace(), self.step, self.run, 0)

    def left(self) -> str:
        """Say what the kill left: ``none`` or ``whole`` (a launcher has the job), or a broken promise."""
        claims = len(list((self.folder / "jobs").glob("*/claim.json")))
        return {0: "none", 1: "whole"}.get(claims, f"{claims} jobs")

    def again(self) -> bool:
        """Let the next try begin and end the step; False if that gives another result, or a second job."""
        workspace = self._workspace()
        begun = begin(workspace, self.step, self.run, 0)
        if not isinstance(begun, Ticket):
            return False
        target = workspace.compute()
        status, _ = asyncio.run(watch(target, begun.handle, Polling(0.5, give_up_after=_PATIENCE)))
        if status is None:
            return False
        done = finish(workspace, self.step, self.run, begun, status)
        text = self.folder / "store" / done.outputs["result"].path / "text"
        return done.decision == "ran" and text.read_text() == _TEXT and len(self._started()) == 1

    def _workspace(self) -> Workspace:
        return workspace_from_mapping(_SETTINGS, self.folder)

    def _started(self) -> list[str]:
        """Return the keys of the jobs whose command was started, one for each start."""
        journal = self.folder / "jobs" / "submissions.jsonl"
        return [json.loads(line)["key"] for line in journal.read_text().splitlines()] if journal.exists() else []
