"""A decision: which steps belong to this run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import DownstreamTasksSkipped

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.hooks.edge import for_airflow
from airflow_mlpipe.operators.base import BaseStepOperator, steps_of
from airflow_mlpipe.operators.ports import as_value

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class BranchOperator(BaseStepOperator):
    """Looks at a condition and leaves steps out of the run, all in one call. Azure ML's ``if_else`` and ``do_while``.

    .. code-block:: python

        check = CommandOperator(
            task_id="check",
            command="python check.py --out ${{outputs.good}}",
            outputs={"good": {"type": "uri_file", "value": "boolean"}},
        )
        decide = BranchOperator(task_id="decide", condition=check.outputs["good"], when_true=["deploy"])
        decide >> deploy

    A step that cannot do without the output of a step that is left out is left out too; one whose input is optional
    runs, and sees nothing there. A :class:`~airflow_mlpipe.operators.plan.PlanOperator` before it decides at the head
    of the run if what the condition reads is reused.

    :param condition: the output of a step that writes ``true`` or ``false`` to a file, a text with a parameter of type
        boolean (``${{parent.inputs.flag}}``), or True or False.
    :param when_true: names of the steps that are left out unless the condition is true.
    :param when_false: names of the steps that are left out unless the condition is false.
    :param stand_ins: of a step that is left out: the step whose outputs stand for its own.

    Further arguments: ``mlpipe_conn_id`` and those of Airflow's ``BaseOperator``.
    """

    step_type = "branch"
    ui_color = "#fef7e0"

    def __init__(
        self,
        *,
        condition: Any,
        when_true: Sequence[str] = (),
        when_false: Sequence[str] = (),
        stand_ins: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        branch = {"when_true": when_true, "when_false": when_false, "stand_ins": stand_ins or {}}
        super().__init__(inputs={"condition": as_value(condition, "boolean")}, work={"branch": branch}, **kwargs)

    def execute(self, context: Context) -> NoReturn:
        """Decide.

        :raises DownstreamTasksSkipped: Airflow's way to name the tasks to skip; no skip XCom is pushed, so a cleared
            step runs.
        """
        # The imports are heavy and not needed to parse a DAG.
        from airflow_mlpipe.execution.branching import take  # noqa: PLC0415
        from airflow_mlpipe.hooks.mlpipe import MLPipeHook  # noqa: PLC0415
        from airflow_mlpipe.operators.context import refuse_mapped, run_info  # noqa: PLC0415

        try:
            refuse_mapped(context)
            run = run_info(context, self.folder)
            workspace = MLPipeHook(self.mlpipe_conn_id, self.folder).get_workspace()
            records = take(workspace, list(steps_of(self.dag)), self.step, run, context["ti"].max_tries)
        except MLPipeError as error:
            raise for_airflow(error) from None
        for record in records:
            self.log.info("%s %s: %s", record.step, record.decision, record.reason)
        raise DownstreamTasksSkipped(tasks=[record.step for record in records if record.decision == "skipped"])
