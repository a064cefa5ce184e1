"""Deciding reuse for a whole run at once."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import DownstreamTasksSkipped

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.hooks.edge import for_airflow
from airflow_mlpipe.operators.base import BaseStepOperator, MLPipeOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_mlpipe.execution.planner import StepPlan
    from airflow_mlpipe.spec.step import Step

_WIDTH = 160


class PlanOperator(MLPipeOperator):
    """Stands before all steps of a DAG, decides which of them can be reused, and skips these in one call.

    A task costs Airflow a second or two even if it does nothing, so a run in which nothing changed is over as soon as
    this task has ended. "Skipped" in the grid then means "reused"; why, says this task's log. What cannot be decided
    yet, because its inputs do not exist, the step decides itself.

    It also refuses what Airflow lets pass: conf keys that the DAG has no parameter for, and unknown steps in
    ``reuse_steps``.

    Every DAG with this task understands two parameters, in the trigger form and in the conf of a REST call: ``reuse``
    (``auto``, ``force``: run and refresh the records, ``disable``: run and leave the records alone) and
    ``reuse_steps``, the same for single steps: ``{"train": "force"}``.

    .. code-block:: python

        PlanOperator(task_id="plan") >> prepare >> train

    :param mlpipe_conn_id: Airflow connection of type ``mlpipe``. Without that connection, the nearest
        ``workspace.yml``.

    Other operators that follow a step need ``trigger_rule="none_failed"``, or Airflow skips them with the step.
    """

    ui_color = "#e8eaed"

    def execute(self, context: Context) -> None:
        """Plan the run.

        :raises DownstreamTasksSkipped: Airflow's way to name the tasks to skip; no skip XCom is pushed, so a cleared
            step runs.
        """
        try:
            reused = self._plan(context)
        except MLPipeError as error:
            raise for_airflow(error) from None
        if reused:
            raise DownstreamTasksSkipped(tasks=reused)

    def _plan(self, context: Context) -> list[str]:
        # The imports are heavy and not needed to parse a DAG.
        from airflow_mlpipe.execution.planner import commit_plan, plan  # noqa: PLC0415
        from airflow_mlpipe.hooks.mlpipe import MLPipeHook  # noqa: PLC0415
        from airflow_mlpipe.operators.context import check_conf, refuse_mapped, run_info  # noqa: PLC0415

        refuse_mapped(context)
        steps = list(self._steps())
        run_conf = context["dag_run"].conf or {}
        check_conf(run_conf, context["dag"].params, [step.name for step in steps])
        run = run_info(context, self.folder)
        workspace = MLPipeHook(self.mlpipe_conn_id, self.folder).get_workspace()
        plans = plan(workspace, steps, run)
        for line in _table(plans):
            self.log.info("%s", line)
        return commit_plan(workspace, run, plans, context["ti"].max_tries)

    def _steps(self) -> Iterator[Step]:
        """Yield the steps after this task, each after those that it depends on."""
        after: set[str] = self.get_flat_relative_ids(upstream=False)
        for task in self.dag.topological_sort():
            if isinstance(task, BaseStepOperator) and task.task_id in after:
                yield task.step


def _table(plans: Sequence[StepPlan]) -> list[str]:
    from rich.console import Console  # noqa: PLC0415 - only when a run is planned
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table("step", "decision", "why", box=None, pad_edge=False)
    for item in plans:
        table.add_row(*(Text(cell) for cell in (item.step.name, item.decision, item.reason)))
    console = Console(file=StringIO(), width=_WIDTH, color_system=None)
    console.print(table)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined] # StringIO
    return [line.rstrip() for line in lines] + [_summary(plans)]


def _summary(plans: Sequence[StepPlan]) -> str:
    counts: dict[str, int] = {"reuse": 0, "run": 0, "later": 0, "decide": 0, "skip": 0}
    for item in plans:
        counts[item.decision] += 1
    saved = sum(item.saved for item in plans)
    left_out = f"{counts['skip']} left out by a condition, " if counts["skip"] else ""
    return (
        f"{counts['reuse']} reused (about {saved:.0f} s saved), {counts['run']} to run, {left_out}"
        f"{counts['later']} decided when their inputs exist"
    )
