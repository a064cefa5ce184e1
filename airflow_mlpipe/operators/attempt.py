"""One try of a step in a worker: begin, follow, and end or hand over to a trigger."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlpipe.compute.base import JobState, JobStatus
from airflow_mlpipe.errors import ComputeError, StepFailedError
from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.hub import status_of
from airflow_mlpipe.execution.lifecycle import abandon, begin
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.turns import Turn, Waiting, await_turn
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.operators.context import refuse_mapped, run_info
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.triggers.job import JobTrigger, status_from_event
from airflow_mlpipe.triggers.turn import TurnTrigger, turn_from_event
from airflow_mlpipe.workspace import Workspace

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

LONGEST = 30 * 86400.0
"""Seconds after which a job that has no timeout at all is ended: nothing is polled for ever."""
_KILL_TIME = 4.0


class JobTask(Protocol):
    """What an attempt must know of its task; :class:`~airflow_mlpipe.operators.base.JobOperator` has it."""

    mlpipe_conn_id: str
    poll_interval: float
    deferrable: bool
    defer_after: float
    execution_timeout: timedelta | None

    @property
    def folder(self) -> Path:
        """Folder of the DAG file."""

    @property
    def step(self) -> Step:
        """The step that the task is."""

    @property
    def log(self) -> Any:
        """The task's log."""


class Attempt:
    """One try of one step. It remembers its job, so that a kill ends this job and no other.

    :param operator: the task.
    :param workspace: the workspace of its connection.
    :param step: the step.
    :param run: the run.
    :param epoch: Airflow's ``ti.max_tries``: constant over retries, larger after a clear.
    """

    def __init__(self, operator: JobTask, workspace: Workspace, step: Step, run: RunInfo, epoch: int) -> None:
        self._operator = operator
        self._workspace = workspace
        self._step = step
        self._run = run
        self._epoch = epoch
        self._ticket: Ticket | None = None
        self._killed = False

    @classmethod
    def open(cls, operator: JobTask, context: Context) -> Attempt:
        """Open the workspace and find out which run this is.

        :raises MLPipeError: if the workspace or the run's parameters are wrong.
        """
        refuse_mapped(context)
        workspace = MLPipeHook(operator.mlpipe_conn_id, operator.folder).get_workspace()
        run = run_info(context, operator.folder)
        return cls(operator, workspace, operator.step, run, context["ti"].max_tries)

    def run(self, waited: Turn | None = None) -> dict[str, str] | JobTrigger | TurnTrigger:
        """Reuse or run the step.

        :param waited: how a wait for another run ended.
        :returns: the addresses of its outputs; or a trigger to wait with, when it takes long.
        :raises MLPipeError: any fault, in words for the user.
        """
        say = self._operator.log.info
        while isinstance(begun := begin(self._workspace, self._step, self._run, self._epoch, say, waited), Waiting):
            waited = self._wait(begun)
            if waited is None:
                return self._wait_trigger(begun)
        return _addresses(begun) if isinstance(begun, StepRecord) else self._follow(begun)

    def run_after_wait(
        self, waiting: Mapping[str, Any], event: Mapping[str, Any]
    ) -> dict[str, str] | JobTrigger | TurnTrigger:
        """Begin again after a deferral that waited for another run; see :meth:`run`."""
        turn = turn_from_event(event, Waiting.from_json(waiting))
        if turn is not None and turn.why:
            self._operator.log.info("no longer waiting: %s", turn.why)
        return self.run(turn)

    def _wait(self, waiting: Waiting) -> Turn | None:
        limit = time.monotonic() + self._operator.defer_after if self._operator.deferrable else None

        def stop() -> bool:
            return limit is not None and time.monotonic() > limit

        return asyncio.run(await_turn(self._workspace, waiting, self._operator.poll_interval, stop))

    def _wait_trigger(self, waiting: Waiting) -> TurnTrigger:
        return TurnTrigger(
            self._operator.mlpipe_conn_id, str(self._operator.folder), waiting.to_json(), self._operator.poll_interval
        )

    def _follow(self, begun: Ticket) -> dict[str, str] | JobTrigger:
        self._ticket = begun
        if self._killed:
            self._abandon()
        deadline = self._deadline(begun)
        polling = Polling(
            self._operator.poll_interval, deadline, self._operator.defer_after if self._operator.deferrable else None
        )
        target = self._workspace.compute(begun.handle.target)
        say = self._operator.log.warning
        status, cursor = asyncio.run(watch(target, begun.handle, polling, on_log=self._log_line, say=say))
        return self._finish(status) if status is not None else self._trigger(begun, deadline, cursor)

    def _trigger(self, ticket: Ticket, deadline: float, cursor: str | None = None) -> JobTrigger:
        return JobTrigger(
            mlpipe_conn_id=self._operator.mlpipe_conn_id,
            folder=str(self._operator.folder),
            job={"pipeline": self._run.pipeline, "run_id": self._run.run_id, "step": self._step.name},
            ticket=ticket.to_json(),
            polling={"interval": self._operator.poll_interval, "deadline": deadline},
            cursor=cursor,
        )

    def resume(self, ticket: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, str] | JobTrigger:
        """End the step after a deferral.

        Airflow may deliver the event of another job: on SQLite a new trigger gets the number of one that was just
        deleted, and the late event of the old one then wakes the new try. So an event counts only for its own job.

        :returns: the addresses of its outputs; or a trigger to go on waiting with, when the event was not ours.
        :raises MLPipeError: any fault, in words for the user.
        """
        self._ticket = Ticket.from_json(ticket)
        if event.get("key") != self._ticket.handle.key:
            return self._go_on(self._ticket)
        if "error" in event:
            raise ComputeError(
                f"Step {self._step.name}: its job cannot be followed: {event['error']} A retry takes the job up again."
            )
        status = status_from_event(event)
        return self._finish(self._with_metrics(status) if status.state is JobState.SUCCEEDED else status)

    def _go_on(self, ticket: Ticket) -> dict[str, str] | JobTrigger:
        self._operator.log.info("woken by the end of another job; going on with %s", ticket.handle.key)
        status = asyncio.run(status_of(self._workspace.compute(ticket.handle.target), ticket.handle))
        return self._finish(status) if status.state.is_terminal else self._trigger(ticket, self._deadline(ticket))

    def _with_metrics(self, status: JobStatus) -> JobStatus:
        if self._ticket is None:
            return status
        handle = self._ticket.handle
        known = asyncio.run(status_of(self._workspace.compute(handle.target), handle))
        return known if known.state is JobState.SUCCEEDED else status

    def kill(self) -> None:
        """End this try's job. Called from a signal handler while the event loop of this thread may be running."""
        self._killed = True
        if self._ticket is not None:
            killer = threading.Thread(target=self._abandon, daemon=True)
            killer.start()
            killer.join(_KILL_TIME)

    def _abandon(self) -> None:
        if self._ticket is not None:
            abandon(self._workspace, self._step, self._run, self._ticket)

    def _finish(self, status: JobStatus) -> dict[str, str]:
        if self._killed:
            raise StepFailedError(f"Step {self._step.name}: this try was ended from outside; its job was cancelled.")
        if self._ticket is None:
            raise TypeError("There is no job to finish.")
        done = finish(self._workspace, self._step, self._run, self._ticket, status, self._operator.log.info)
        return _addresses(done)

    def _deadline(self, ticket: Ticket) -> float:
        """Airflow does not enforce ``execution_timeout`` while a task is deferred, so it is ours to keep."""
        limits = [time.time() + LONGEST] if ticket.deadline is None else [ticket.deadline]
        if self._operator.execution_timeout is not None:
            limits.append(time.time() + self._operator.execution_timeout.total_seconds())
        return min(limits)

    def _log_line(self, line: str) -> None:
        self._operator.log.info("| %s", line)


def _addresses(record: StepRecord) -> dict[str, str]:
    return {port: ref.uri for port, ref in record.outputs.items()}
