"""Starting runs when data has changed: the trigger behind an asset that has a place in a datastore as its source."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.storage import segment
from airflow_mlpipe.triggers.changes import split_address
from airflow_mlpipe.triggers.workspaces import shared_workspace
from airflow_mlpipe.workspace import Workspace

_PREFIX = "mlpipe/watches"
_HANDED_OVER = 10.0
"""Seconds after which Airflow has surely written an event to its database; it does so every second."""


@dataclass(frozen=True)
class Look:
    """What lies there now.

    :param digest: of its content; empty for nothing.
    :param batch: ``path``, ``digest``, ``files`` and ``size`` if it is new and at rest.
    """

    digest: str
    batch: dict[str, Any] | None = None


class DataWatch:
    """Compares what lies at a path with what runs were started for; kept in the default datastore.

    :param name: whose memory it is: the DAG that is started.
    :param path: ``azureml://datastores/<name>/paths/<path>``, with everything below.
    :raises ConfigError: if the path has another form, or the workspace has no such datastore.
    """

    def __init__(self, workspace: Workspace, name: str, path: str) -> None:
        datastore, self._path = split_address(path)
        self._data = workspace.datastore(datastore)
        self._records = workspace.datastore()
        self._address = path
        self._key = f"{_PREFIX}/{segment(name)}.json"

    def look(self, before: str) -> Look:
        """Look once. A change counts when two looks in a row saw the same, so a half-written batch is left alone.

        :param before: the digest that the look before this one saw.
        """
        now = self._data.summary(self._path)
        if now is None or not now.files:
            return Look("")
        batch = {"path": self._address, "digest": now.digest, "files": now.files, "size": now.size}
        is_new = now.digest == before and self._seen() != [self._address, now.digest]
        return Look(now.digest, batch if is_new else None)

    def mark(self, batch: dict[str, Any]) -> None:
        """Note that a run was started for a batch."""
        record = {"path": batch["path"], "digest": batch["digest"]}
        self._records.replace(self._key, json.dumps(record, sort_keys=True).encode())

    def _seen(self) -> list[Any]:
        """A damaged record counts as absent: the worst that follows is one run too many."""
        try:
            value = json.loads(self._records.read(self._key) or b"{}")
        except ValueError:
            return []
        return [value.get("path"), value.get("digest")] if isinstance(value, dict) else []


class DataWatchTrigger(BaseEventTrigger):
    """Fires each time when the content under a path has changed and come to rest, for ever.

    An event is noted as done only after Airflow has had time to keep it. If the triggerer dies in between, the batch is
    told twice: a second run that reuses every step, and never a batch that nobody heard of. A look that fails is
    logged, and the next one is taken as if nothing were.

    :param mlpipe_conn_id: connection of the workspace.
    :param folder: folder of the DAG file, for a workspace that lies beside it.
    :param name: the DAG that is started.
    :param path: ``azureml://datastores/<name>/paths/<path>``.
    :param poll_interval: seconds between two looks.
    """

    def __init__(self, mlpipe_conn_id: str, folder: str, name: str, path: str, poll_interval: float = 300.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mlpipe_conn_id = mlpipe_conn_id
        self.folder = folder
        self.name = name
        self.path = path
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow keeps in its database to make this trigger again."""
        return (
            "airflow_mlpipe.triggers.data_watch.DataWatchTrigger",
            {
                "mlpipe_conn_id": self.mlpipe_conn_id,
                "folder": self.folder,
                "name": self.name,
                "path": self.path,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the end of days; each new batch is an event."""
        before = ""
        while True:
            try:
                watch = await self._watch()
                look = await asyncio.to_thread(watch.look, before)
                before = look.digest
                if look.batch is not None:
                    yield TriggerEvent(look.batch)
                    await asyncio.sleep(min(self.poll_interval, _HANDED_OVER))
                    await asyncio.to_thread(watch.mark, look.batch)
            except MLPipeError as error:
                self.log.warning("%s cannot be watched for changes: %s", self.path, error)
            await asyncio.sleep(self.poll_interval * random.uniform(0.9, 1.1))  # noqa: S311 - jitter, no secret

    async def _watch(self) -> DataWatch:
        workspace = await shared_workspace(self.mlpipe_conn_id, self.folder)
        return await asyncio.to_thread(DataWatch, workspace, self.name, self.path)
