"""When a result was last found: a mark beside its record, written at most once a day."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from airflow_mlpipe.errors import StoreError
from airflow_mlpipe.storage import RecordStorage, seal, segment, unseal

_log = logging.getLogger(__name__)
_EVERY = timedelta(days=1)


def _now() -> datetime:
    return datetime.now(timezone.utc)


class UseMarks:
    """Keeps ``used/<2 hex>/<key>.json``: the day of the last hit. Garbage collection spares what was used lately.

    The mark of a result that is younger than a day says nothing new and is not written, so work that goes on pays
    nothing for it.

    :param storage: where the marks lie.
    :param prefix: folder in it.
    :param clock: gives the time now, in UTC.
    """

    def __init__(self, storage: RecordStorage, prefix: str, clock: Callable[[], datetime] = _now) -> None:
        self._storage = storage
        self._prefix = prefix
        self._clock = clock

    def touch(self, key: str, created: datetime) -> None:
        """Note that a result was found. A mark that cannot be written is only a warning in the log.

        :param created: when the result was published.
        """
        now = self._clock()
        if now.timestamp() - created.timestamp() < _EVERY.total_seconds():
            return
        try:
            last = self.last(key)
            if last is None or now - last >= _EVERY:
                self._storage.replace(self._place(key), seal(json.dumps({"used": now.isoformat()}).encode()))
        except StoreError as error:
            _log.warning("The use of result %s cannot be noted: %s", key[:12], error)

    def last(self, key: str) -> datetime | None:
        """Return when a result was last found, ``None`` if nobody noted it or the mark is damaged."""
        data = self._storage.read(self._place(key))
        try:
            moment = None if data is None else datetime.fromisoformat(json.loads(unseal(data))["used"])
        except (ValueError, KeyError, TypeError):
            return None
        return moment if moment is not None and moment.tzinfo is not None else None

    def remove(self, key: str) -> None:
        """Drop the mark of a result that is gone."""
        self._storage.delete(self._place(key))

    def _place(self, key: str) -> str:
        return f"{self._prefix}/{segment(key)[:2]}/{segment(key)}.json"
