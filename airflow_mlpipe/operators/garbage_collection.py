"""Garbage collection as a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.hooks.edge import for_airflow
from airflow_mlpipe.operators.base import MLPipeOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mlpipe.retention import Report


class GarbageCollectionOperator(MLPipeOperator):
    """Removes what nobody needs any more from a workspace: unused results, data of crashed steps, old job folders.

    The same as ``mlpipe gc``, with the same rules and defaults; safe while pipelines run. It looks and says what would
    go, and removes it only with ``dry_run=False``, or if the run's parameter ``dry_run`` says so.

    .. code-block:: python

        GarbageCollectionOperator(task_id="collect", older_than="30d", keep_last=10, dry_run=False)

    :param older_than: a result that nobody used for this long may go: ``30d``, ``12h``.
    :param keep_last: the outputs of so many latest runs of each pipeline stay.
    :param keep_runs: the records of so many latest runs of each pipeline stay.
    :param grace: data stay for so long after nobody can find them any more; longer than any run.
    :param dry_run: only look. A parameter ``dry_run`` of the run wins.
    :param mlpipe_conn_id: Airflow connection of type ``mlpipe``. Without that connection, the nearest
        ``workspace.yml``.
    """

    ui_color = "#e8eaed"

    def __init__(
        self,
        *,
        older_than: str = "30d",
        keep_last: int = 10,
        keep_runs: int = 1000,
        grace: str = "24h",
        dry_run: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.older_than = older_than
        self.keep_last = keep_last
        self.keep_runs = keep_runs
        self.grace = grace
        self.only_look = dry_run

    def execute(self, context: Context) -> dict[str, Any]:
        """Collect.

        :returns: ``{"dry_run", "bytes", "items", "problems"}``, the last two as numbers.
        """
        only_look = bool(context["params"].get("dry_run", self.only_look))
        try:
            report = self._collect(delete=not only_look)
        except MLPipeError as error:
            raise for_airflow(error) from None
        for item in report.items:
            self.log.info("%s %s: %s (%s, %s bytes)", item.action, item.kind, item.name, item.why, item.size)
        for text in (*report.spared, *report.problems):
            self.log.warning("%s", text)
        self.log.info("%s", "nothing was changed (dry run)" if only_look else f"freed {report.freed()} bytes")
        return {
            "dry_run": only_look,
            "bytes": report.freed(),
            "items": len(report.items),
            "problems": len(report.problems),
        }

    def _collect(self, delete: bool) -> Report:
        # The imports are heavy and not needed to parse a DAG.
        from airflow_mlpipe.hooks.mlpipe import MLPipeHook  # noqa: PLC0415
        from airflow_mlpipe.retention import Policy, collect  # noqa: PLC0415
        from airflow_mlpipe.retention.base import age  # noqa: PLC0415

        policy = Policy(age(self.older_than, "older_than"), self.keep_last, self.keep_runs, age(self.grace, "grace"))
        return collect(MLPipeHook(self.mlpipe_conn_id, self.folder).get_workspace(), policy, delete)
