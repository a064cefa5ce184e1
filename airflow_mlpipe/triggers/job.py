"""Waiting for a job without a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlpipe.compute.base import JobState, JobStatus
from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.execution.lifecycle import abandon
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.triggers.workspaces import shared_workspace


class JobTrigger(BaseTrigger):
    """Follows a job to its end, with its log, and fires once.

    A restart of the triggerer begins it anew: the job is not touched, log lines since the deferral appear again. Only
    a person who kills, clears or marks the task ends the job, and only this one: the key of another try is another one.

    All arguments are plain values, because Airflow keeps them in its database; there is no secret among them.

    :param mlpipe_conn_id: connection of the workspace.
    :param folder: folder of the DAG file.
    :param job: ``pipeline``, ``run_id`` and ``step``.
    :param ticket: the job, :meth:`~airflow_mlpipe.execution.run_info.Ticket.to_json`.
    :param polling: ``interval`` in seconds and ``deadline`` as UNIX time, after which the job is cancelled.
    :param cursor: where the worker left the log.
    """

    resume_with: ClassVar[str] = "execute_complete"

    def __init__(
        self,
        mlpipe_conn_id: str,
        folder: str,
        job: Mapping[str, str],
        ticket: Mapping[str, Any],
        polling: Mapping[str, float],
        cursor: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mlpipe_conn_id = mlpipe_conn_id
        self.folder = folder
        self.job = dict(job)
        self.ticket = Ticket.from_json(ticket)
        self.polling = dict(polling)
        self.cursor = cursor

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow keeps in its database to make this trigger again."""
        return (
            "airflow_mlpipe.triggers.job.JobTrigger",
            {
                "mlpipe_conn_id": self.mlpipe_conn_id,
                "folder": self.folder,
                "job": self.job,
                "ticket": self.ticket.to_json(),
                "polling": self.polling,
                "cursor": self.cursor,
            },
        )

    @property
    def resume_arguments(self) -> dict[str, Any]:
        """What the task gets back when it goes on."""
        return {"ticket": self.ticket.to_json()}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the job and fire its final status, or ``{"error": ...}`` when it cannot be followed."""
        try:
            workspace = await shared_workspace(self.mlpipe_conn_id, self.folder)
            target = workspace.compute(self.ticket.handle.target)
            polling = Polling(self.polling["interval"], self.polling["deadline"], eager=False)
            status, self.cursor = await watch(
                target, self.ticket.handle, polling, self._log_line, self.cursor, self._say
            )
        except MLPipeError as error:
            yield TriggerEvent({"key": self.ticket.handle.key, "error": str(error)})
            return
        yield TriggerEvent(event_of(self.ticket.handle.key, status))

    def _log_line(self, line: str) -> None:
        self.log.info("| %s", line)

    def _say(self, text: str) -> None:
        self.log.warning("%s", text)

    async def on_kill(self) -> None:
        """End the job because a person ended the task (Airflow 3.3 and later calls this)."""
        workspace = await shared_workspace(self.mlpipe_conn_id, self.folder)
        step = Step(name=self.job["step"])
        run = RunInfo(self.job["pipeline"], self.job["run_id"], {}, {}, Path(self.folder))
        await asyncio.to_thread(abandon, workspace, step, run, self.ticket)


def event_of(key: str, status: JobStatus | None) -> dict[str, Any]:
    """Return a final status as the payload of an event; metrics stay with the job, they may be many.

    :param key: of the job, so that whoever gets the event can tell whose end it is.
    """
    if status is None:
        raise TypeError("A job that has not ended makes no event.")
    return {
        "key": key,
        "state": status.state.value,
        "message": status.message,
        "exit_code": status.exit_code,
        "raw": status.raw,
        "seconds": status.seconds,
    }


def status_from_event(event: Mapping[str, Any]) -> JobStatus:
    """Read :func:`event_of` back."""
    fields = {name: value for name, value in event.items() if name != "key"}
    return JobStatus(**{**fields, "state": JobState(event["state"])})
