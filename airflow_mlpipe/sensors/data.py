"""Waiting until data has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, BaseSensorOperator, PokeReturnValue, conf

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.hooks.edge import DEFAULT_CONN_ID, dag_folder, for_airflow
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.triggers.changes import DataChanges, Watcher, split_address
from airflow_mlpipe.triggers.data import DataChangedTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class DataChangedSensor(BaseSensorOperator):
    """Waits until the content under a path differs from what the last run of this sensor saw. Azure ML v1's data-change
    ``Schedule`` (``polling_interval``, ``path_on_datastore``).

    .. code-block:: python

        DataChangedSensor(task_id="new_flights", path="azureml://datastores/landing/paths/flights") >> plan

    It looks at contents: a file that is only touched is no change. A batch that is still being written is left alone:
    a change counts when two looks in a row saw the same. Each batch makes one run go on, also when several wait.
    Returns (XCom) ``path``, ``digest``, ``files`` and ``size``. The first run of all takes what is there.

    With ``schedule="@continuous"`` and ``max_active_runs=1`` the DAG runs once for every batch.

    :param path: ``azureml://datastores/<name>/paths/<path>``.
    :param mlpipe_conn_id: Airflow connection of type ``mlpipe``. Without that connection, the nearest
        ``workspace.yml``.
    :param deferrable: wait in the triggerer. Default: ``[mlpipe] default_deferrable``, True. With False,
        ``mode="reschedule"`` frees the worker between two looks.

    ``poke_interval``, ``timeout`` and the further arguments are those of Airflow's sensors.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e0f7fa"

    def __init__(
        self,
        *,
        path: str,
        mlpipe_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("mlpipe", "default_deferrable", fallback=True),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        split_address(path)
        self.path = path
        self.mlpipe_conn_id = mlpipe_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Wait for a change, in the worker or in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        found = self.poke(context)
        if found.is_done:
            return found.xcom_value
        trigger = DataChangedTrigger(
            mlpipe_conn_id=self.mlpipe_conn_id,
            folder=str(dag_folder(self)),
            watcher=vars(self._watcher(context)),
            path=self.path,
            poke_interval=self.poke_interval,
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=self.timeout))
        return None

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        try:
            workspace = MLPipeHook(self.mlpipe_conn_id, dag_folder(self)).get_workspace()
            batch = DataChanges(workspace, self._watcher(context), self.path).look()
        except MLPipeError as error:
            raise for_airflow(error) from None
        if batch is not None:
            self.log.info("changed: %s files, %s bytes, content %s", batch["files"], batch["size"], batch["digest"])
        return PokeReturnValue(is_done=batch is not None, xcom_value=batch)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the trigger saw; look again when the event belongs to another run (Airflow may mix up triggers).

        :raises AirflowException: if the trigger could not look.
        """
        if event.get("run_id") != context["run_id"]:
            return dict(self.execute(context))
        if "error" in event:
            raise AirflowException(event["error"])
        return dict(event)

    def _watcher(self, context: Context) -> Watcher:
        return Watcher(self.dag_id, self.task_id, context["run_id"])
