"""Tombstones: since when nobody can find an attempt any more."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from airflow_mlpipe.storage import RecordStorage, seal, unseal


@dataclass(frozen=True)
class Tombstone:
    """What is known of an attempt that nobody can find.

    :param attempt: its id.
    :param since: from when on.
    :param place: where its reuse record was, ``None`` if it had none.
    :param record: that record as it was, to put it back.
    """

    attempt: str
    since: datetime
    place: str | None = None
    record: str | None = None


class Trash:
    """Keeps ``trash/<attempt>.json``.

    :param storage: where they lie.
    :param prefix: folder of the workspace's records in it.
    """

    def __init__(self, storage: RecordStorage, prefix: str) -> None:
        self._storage = storage
        self._prefix = prefix

    def bury(self, stone: Tombstone) -> None:
        """Write a tombstone, in place of an earlier one."""
        document = {
            "attempt": stone.attempt,
            "since": stone.since.isoformat(),
            "place": stone.place,
            "record": stone.record,
        }
        self._storage.replace(self._place(stone.attempt), seal(json.dumps(document).encode()))

    def read(self, attempt: str) -> Tombstone | None:
        """Return the tombstone of an attempt; ``None`` if there is none or it is damaged: its time begins anew."""
        data = self._storage.read(self._place(attempt))
        if data is None:
            return None
        try:
            found = json.loads(unseal(data))
            since = datetime.fromisoformat(found["since"])
        except (ValueError, KeyError, TypeError):
            return None
        if since.tzinfo is None or found["attempt"] != attempt:
            return None
        return Tombstone(attempt, since, found["place"], found["record"])

    def all(self) -> dict[str, Tombstone | None]:
        """Return every tombstone by the id of its attempt, ``None`` for damaged ones."""
        start = f"{self._prefix}/trash/"
        names = [key[len(start) :].removesuffix(".json") for key in self._storage.keys(start)]
        return {name: self.read(name) for name in names}

    def remove(self, attempt: str) -> None:
        """Drop a tombstone."""
        self._storage.delete(self._place(attempt))

    def _place(self, attempt: str) -> str:
        return f"{self._prefix}/trash/{attempt}.json"
