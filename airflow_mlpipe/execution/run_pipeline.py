"""``mlpipe run``: the same steps, lifecycle and records as under Airflow, in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence

from airflow_mlpipe.execution.events import EPOCH, Event, OnEvent, Outcome
from airflow_mlpipe.execution.planner import plan, record_plan
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.workspace import Workspace


def run_pipeline(
    workspace: Workspace, steps: Sequence[Step], run: RunInfo, on_event: OnEvent, parallel: int = 4
) -> Outcome:
    """Run all steps of a pipeline without Airflow.

    :param steps: each after those that it depends on.
    :param on_event: told of everything that happens, for a progress display; called from several threads, one call at
        a time.
    :param parallel: steps that run at the same time.
    :raises MLPipeError: if the run cannot begin: a parameter, datastore or environment is missing.
    """
    started = time.monotonic()
    outcome = Outcome()
    plans = plan(workspace, steps, run)
    ended = {record.step: record for record in record_plan(workspace, run, plans, EPOCH)}
    for item in plans:
        name = item.step.name
        if name in ended:
            outcome.records[name] = ended[name]
            on_event(Event(name, ended[name].decision, item.reason, ended[name]))
        else:
            on_event(Event(name, "planned", item.reason))
    if len(ended) < len(steps):
        from airflow_mlpipe.execution.side_by_side import SideBySide  # noqa: PLC0415 - slow to import

        SideBySide(workspace, steps, run, on_event, outcome, parallel).execute()
    outcome.seconds = time.monotonic() - started
    return outcome
