"""Ending jobs that nobody owns, as a task."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.hooks.edge import for_airflow
from airflow_mlpipe.operators.base import MLPipeOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mlpipe.execution.sweep import Swept, TaskIsOver

_OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class OrphanSweepOperator(MLPipeOperator):
    """Ends jobs that nobody owns: their task was ended while no worker and no triggerer was there to cancel them.

    The same as ``mlpipe sweep``, and more: Airflow is asked whether the task of an open job has come to its end.
    A job of a task that is running, waiting or to be tried again is left alone, and so is one that Airflow does not
    know. Safe while pipelines run.

    .. code-block:: python

        OrphanSweepOperator(task_id="sweep", grace=30)

    :param grace: a job must be without an owner in two looks, so many seconds apart.
    :param dry_run: only look. A parameter ``dry_run`` of the run wins.
    :param mlpipe_conn_id: Airflow connection of type ``mlpipe``. Without that connection, the nearest
        ``workspace.yml``.
    """

    ui_color = "#e8eaed"

    def __init__(self, *, grace: float = 30.0, dry_run: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grace = grace
        self.only_look = dry_run

    def execute(self, context: Context) -> dict[str, int]:
        """Sweep.

        :returns: how many jobs came to which end.
        """
        only_look = bool(context["params"].get("dry_run", self.only_look))
        try:
            swept = self._sweep(_tasks_of(context["ti"]), only_look)
        except MLPipeError as error:
            raise for_airflow(error) from None
        ends: dict[str, int] = {}
        for item in swept:
            ends[item.outcome] = ends.get(item.outcome, 0) + 1
            detail = f" ({item.detail})" if item.detail else ""
            text = f"{item.outcome}{detail}: {item.key} on {item.target}, {item.step} of run {item.run_id} of"
            self.log.info("%s %s: %s", text, item.pipeline, item.why)
        self.log.info("%s", ends or "no job is without an owner")
        return ends

    def _sweep(self, task_is_over: TaskIsOver, only_look: bool) -> list[Swept]:
        # The imports are heavy and not needed to parse a DAG.
        from airflow_mlpipe.execution.sweep import sweep  # noqa: PLC0415
        from airflow_mlpipe.hooks.mlpipe import MLPipeHook  # noqa: PLC0415

        workspace = MLPipeHook(self.mlpipe_conn_id, self.folder).get_workspace()
        return sweep(workspace, task_is_over, self.grace, only_look)


def _tasks_of(ti: Any) -> TaskIsOver:
    """Return a function that asks Airflow whether a task has come to its end for good; one question at a time."""
    one_at_a_time = threading.Lock()

    def over(pipeline: str, run_id: str, step: str) -> bool | None:
        with one_at_a_time:
            states = ti.get_task_states(dag_id=pipeline, task_ids=[step], run_ids=[run_id]).get(run_id, {})
        return states[step] in _OVER if step in states else None

    return over
