"""Following a run to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from airflow_mlpipe.airflow_rest.runs import AirflowRun, AirflowRuns
from airflow_mlpipe.errors import AirflowUnreachableError

_PATIENCE = 300.0
"""Seconds without a proper answer after which following ends; an API server that is restarted takes less."""


def follow(
    runs: AirflowRuns, run: AirflowRun, say: Callable[[str], None], poll: float = 5.0, patience: float = _PATIENCE
) -> AirflowRun:
    """Wait for the end of a run, one line for each task that changes its state.

    :param say: takes a line of progress.
    :param poll: seconds between looks.
    :param patience: seconds without a proper answer after which this gives up.
    :returns: the run as it ended.
    :raises AirflowUnreachableError: when the API is away for longer than ``patience``; the run itself goes on.
    """
    known: dict[str, str] = {}
    answered = time.monotonic()
    while True:
        try:
            now, states = runs.get(run.dag_id, run.run_id), runs.task_states(run.dag_id, run.run_id)
            answered = time.monotonic()
        except AirflowUnreachableError as error:
            if time.monotonic() - answered > patience:
                raise AirflowUnreachableError(
                    f"{error} The run goes on; follow it again with the same --run-id {run.run_id}."
                ) from None
            time.sleep(poll)
            continue
        _tell(known, states, say)
        known = states
        if now.has_ended:
            return now
        time.sleep(poll)


def _tell(known: Mapping[str, str], states: Mapping[str, str], say: Callable[[str], None]) -> None:
    width = max((len(name) for name in states), default=0)
    for name, state in states.items():
        if known.get(name) != state:
            say(f"{name:{width}}  {_WORDS.get(state, state)}")


_WORDS = {"skipped": "skipped (reused, or a branch not taken)", "upstream_failed": "not run: a task before it failed"}
