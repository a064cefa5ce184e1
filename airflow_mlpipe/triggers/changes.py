"""Whether data changed since the last run, remembered in the workspace, so that each batch of changes makes one run."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import Any

from airflow_mlpipe.content import ContentSummary
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.storage import segment
from airflow_mlpipe.workspace import Workspace

_PREFIX = "mlpipe/sensors"
_SCHEME = "azureml://datastores/"


@dataclass(frozen=True)
class Watcher:
    """Who looks: one sensor task in one run. Two runs of the same sensor never take the same batch."""

    dag_id: str
    task_id: str
    run_id: str


class DataChanges:
    """Compares what lies at a path with what the last run of the same sensor saw.

    Kept in the default datastore: ``seen/<number>.json``, one for each batch, taken by put-if-absent;
    ``pending/<run>.json``, what the last look saw; ``runs/<run>.json``, the batch that a run took.

    :param workspace: where the data is, and where the records are.
    :param watcher: the sensor.
    :param path: ``azureml://datastores/<name>/paths/<path>``.
    :raises ConfigError: if the path has another form.
    """

    def __init__(self, workspace: Workspace, watcher: Watcher, path: str) -> None:
        self._data = workspace.datastore(split_address(path)[0])
        self._path = split_address(path)[1]
        self._address = path
        self._records = workspace.datastore()
        self._run_id = watcher.run_id
        self._folder = f"{_PREFIX}/{segment(watcher.dag_id)}/{segment(watcher.task_id)}"
        self._pending = f"{self._folder}/pending/{segment(watcher.run_id)}.json"
        self._mine = f"{self._folder}/runs/{segment(watcher.run_id)}.json"

    def look(self) -> dict[str, Any] | None:
        """Return the batch of changes that this run takes, ``None`` while there is none.

        A change counts when two looks in a row saw the same, so that a half-written batch is left alone.

        :returns: ``path``, ``digest``, ``files``, ``size`` and ``run_id``.
        """
        taken = self._read(self._mine)
        number, last = self._last_seen()
        if taken is None and last is not None and last["run_id"] == self._run_id:
            taken = last
        if taken is not None:
            return taken
        now = self._data.summary(self._path)
        if now is None or (last is not None and last["digest"] == now.digest):
            self._records.delete(self._pending)
            return None
        if self._read(self._pending) != {"digest": now.digest}:
            self._records.replace(self._pending, _json({"digest": now.digest}))
            return None
        return self._take(number + 1, now)

    def _take(self, number: int, now: ContentSummary) -> dict[str, Any] | None:
        batch = {
            "path": self._address,
            "digest": now.digest,
            "files": now.files,
            "size": now.size,
            "run_id": self._run_id,
        }
        if not self._records.create(f"{self._folder}/seen/{number:010d}.json", _json(batch)):
            return None
        self._records.replace(self._mine, _json(batch))
        self._records.delete(self._pending)
        return batch

    def _last_seen(self) -> tuple[int, dict[str, Any] | None]:
        last = deque(self._records.keys(f"{self._folder}/seen/"), maxlen=1)
        if not last:
            return 0, None
        number = int(last[0].rpartition("/")[2].removesuffix(".json"))
        return number, self._read(last[0])

    def _read(self, key: str) -> dict[str, Any] | None:
        """A damaged record counts as absent: the worst that follows is one run too many."""
        data = self._records.read(key)
        try:
            value = None if data is None else json.loads(data)
        except ValueError:
            return None
        return value if isinstance(value, dict) and "digest" in value else None


def split_address(path: str) -> tuple[str, str]:
    """Return datastore and path of ``azureml://datastores/<name>/paths/<path>``.

    :raises ConfigError: if it has another form.
    """
    name, found, rest = path.removeprefix(_SCHEME).partition("/paths/")
    if not path.startswith(_SCHEME) or not found or not name or not rest.strip("/"):
        raise ConfigError(
            f"{path!r} is no data address. Write azureml://datastores/<name>/paths/<path>, "
            "with a datastore of the workspace."
        )
    return name, rest.strip("/")


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
