"""Waiting for changed data without a worker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.triggers.changes import DataChanges, Watcher
from airflow_mlpipe.triggers.workspaces import shared_workspace


class DataChangedTrigger(BaseTrigger):
    """Fires when the content under a path differs from what the sensor's last run saw, and has come to rest.

    :param mlpipe_conn_id: connection of the workspace.
    :param folder: folder of the DAG file.
    :param watcher: ``dag_id``, ``task_id`` and ``run_id`` of the sensor.
    :param path: ``azureml://datastores/<name>/paths/<path>``.
    :param poke_interval: seconds between two looks.
    """

    def __init__(
        self, mlpipe_conn_id: str, folder: str, watcher: dict[str, str], path: str, poke_interval: float = 60.0
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mlpipe_conn_id = mlpipe_conn_id
        self.folder = folder
        self.watcher = dict(watcher)
        self.path = path
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow keeps in its database to make this trigger again."""
        return (
            "airflow_mlpipe.triggers.data.DataChangedTrigger",
            {
                "mlpipe_conn_id": self.mlpipe_conn_id,
                "folder": self.folder,
                "watcher": self.watcher,
                "path": self.path,
                "poke_interval": self.poke_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is a change, then fire what it is; ``{"error": ...}`` when looking fails."""
        try:
            workspace = await shared_workspace(self.mlpipe_conn_id, self.folder)
            changes = await asyncio.to_thread(DataChanges, workspace, Watcher(**self.watcher), self.path)
            batch = await asyncio.to_thread(changes.look)
            while batch is None:
                pause = self.poke_interval * random.uniform(0.9, 1.1)  # noqa: S311 - jitter, no secret
                await asyncio.sleep(pause)
                batch = await asyncio.to_thread(changes.look)
        except MLPipeError as error:
            yield TriggerEvent({"run_id": self.watcher["run_id"], "error": str(error)})
            return
        yield TriggerEvent(batch)
