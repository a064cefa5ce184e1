"""The steps of a run that are not reused: those that do not depend on each other run side by side, in threads.

Apart from :mod:`airflow_mlpipe.execution.run_pipeline`, because a run that reuses every step needs nothing of this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import JobHandle
from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.execution.branching import take
from airflow_mlpipe.execution.events import EPOCH, Event, OnEvent, Outcome, State
from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import abandon, begin
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.turns import Turn, Waiting, await_turn
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace

_POLL = 0.5


class SideBySide:
    """Runs the steps of a pipeline that have no record in its outcome yet.

    :param steps: all steps, each after those that it depends on.
    :param on_event: called from several threads, one call at a time.
    :param outcome: holds the steps that were reused; gains all others.
    :param parallel: steps that run at the same time.
    """

    def __init__(
        self,
        workspace: Workspace,
        steps: Sequence[Step],
        run: RunInfo,
        on_event: OnEvent,
        outcome: Outcome,
        parallel: int,
    ) -> None:
        self._workspace = workspace
        self._steps = {step.name: step for step in steps}
        self._run = run
        self._on_event = on_event
        self._outcome = outcome
        self._parallel = parallel
        self._lock = threading.Lock()
        self._tickets: dict[str, Ticket] = {}
        self._stopping = threading.Event()

    def execute(self) -> None:
        """Run to the end; an interrupt ends the jobs of this run before it is passed on."""
        waiting = [name for name in self._steps if name not in self._outcome.records]
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(self._parallel) as pool:
            try:
                while waiting or running:
                    for name in self._ready(waiting):
                        waiting.remove(name)
                        running[pool.submit(self._one, self._steps[name])] = name
                    if not running:
                        return
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        running.pop(future)
                        future.result()
            except BaseException:
                self._stopping.set()
                self._abandon_all()
                raise

    def _ready(self, waiting: list[str]) -> list[str]:
        ready = []
        for name in list(waiting):
            if name in self._outcome.records:
                waiting.remove(name)
                continue
            upstream = self._steps[name].upstream
            if any(before in self._outcome.errors or before in self._outcome.blocked for before in upstream):
                waiting.remove(name)
                self._outcome.blocked.append(name)
                self._emit(Event(name, "upstream_failed", "a step before it failed"))
            elif all(before in self._outcome.records for before in upstream):
                ready.append(name)
        return ready

    def _one(self, step: Step) -> None:
        if step.branch is not None:
            self._decide(step)
            return
        self._emit(Event(step.name, "started"))

        def say(text: str) -> None:
            self._emit(Event(step.name, "log", text))

        try:
            begun = self._begin(step, say)
            record = begun if isinstance(begun, StepRecord) else self._follow(step, begun, say)
        except MLPipeError as error:
            self._fail(step, error)
            return
        self._end(step.name, "reused" if record.decision == "reused" else "ran", record.reason, record)

    def _decide(self, step: Step) -> None:
        """Decide a branch; the steps that it leaves out have ended with it."""
        try:
            records = take(self._workspace, list(self._steps.values()), step, self._run, EPOCH)
        except MLPipeError as error:
            self._fail(step, error)
            return
        for record in records:
            self._end(record.step, record.decision, record.reason, record)

    def _fail(self, step: Step, error: MLPipeError) -> None:
        with self._lock:
            self._outcome.errors[step.name] = str(error)
        self._emit(Event(step.name, "failed", str(error)))

    def _begin(self, step: Step, say: Callable[[str], None]) -> StepRecord | Ticket:
        """Begin a step, as often as another run that computes the same one must be waited for."""
        turn: Turn | None = None
        while isinstance(begun := begin(self._workspace, step, self._run, EPOCH, say, turn), Waiting):
            turn = loop.run(await_turn(self._workspace, begun, _POLL, self._stopping.is_set))
            if turn is None:
                raise MLPipeError("The wait for another run was given up.")
            if turn.why:
                say(f"no longer waiting: {turn.why}")
        return begun

    def _follow(self, step: Step, ticket: Ticket, say: Callable[[str], None]) -> StepRecord:
        self._tickets[step.name] = ticket
        handle: JobHandle = ticket.handle
        target = self._workspace.compute(handle.target)
        polling = Polling(_POLL, ticket.deadline)
        status, _ = loop.run(watch(target, handle, polling, lambda line: say(f"| {line}"), say=say))
        del self._tickets[step.name]
        if status is None:
            raise MLPipeError(f"The job {handle.key} was given up.")
        return finish(self._workspace, step, self._run, ticket, status, say)

    def _abandon_all(self) -> None:
        for name, ticket in list(self._tickets.items()):
            abandon(self._workspace, self._steps[name], self._run, ticket)

    def _end(self, name: str, state: State, text: str, record: StepRecord) -> None:
        with self._lock:
            self._outcome.records[name] = record
        self._emit(Event(name, state, text, record))

    def _emit(self, event: Event) -> None:
        with self._lock:
            self._on_event(event)
