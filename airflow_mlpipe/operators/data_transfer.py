"""Copying data as a step."""

from __future__ import annotations

from typing import Any

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.operators.base import BaseStepOperator

_NEEDLESS = ("code", "additional_includes", "environment", "environment_variables", "compute")


class DataTransferOperator(BaseStepOperator):
    """Copies data into the workspace's datastore, verified, or reuses the earlier copy.

    Azure ML's ``data_transfer`` job with ``task: copy_data``.

    .. code-block:: python

        ingest = DataTransferOperator(
            task_id="ingest",
            inputs={"flights": {"path": "azureml://datastores/landing/paths/flights"}},
            outputs={"raw": {}},
        )

    The worker itself copies; no job is started. Each file is checked against its digest when it has arrived.

    :param copy_mode: what to do with a file that is there already: ``merge_with_overwrite`` (the later input
        wins), ``skip_existing`` (the earlier one stays) or ``fail_if_conflict``.
    :raises ConfigError: if it is given something that only jobs need (``code``, ``environment``, ``compute``, ...).

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    step_type = "data_transfer"
    ui_color = "#f1f3f4"

    def __init__(self, *, copy_mode: str | None = None, **kwargs: Any) -> None:
        needless = [name for name in _NEEDLESS if name in kwargs]
        if needless:
            raise ConfigError(
                f"Step {kwargs.get('task_id')}: a data transfer runs no job and has no {', '.join(needless)}."
            )
        super().__init__(work={"copy_mode": copy_mode}, **kwargs)
