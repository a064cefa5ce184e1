"""Pins: what a person wants to keep, whatever its age."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from airflow_mlpipe.errors import ParameterError, StoreError
from airflow_mlpipe.storage import RecordStorage, seal, segment, unseal


@dataclass(frozen=True)
class Pin:
    """The outputs of a run under a name.

    :param attempts: paths of the attempts that stay, ``<prefix>/attempts/<id>``.
    """

    name: str
    pipeline: str
    run_id: str
    attempts: tuple[str, ...]


class Pins:
    """Keeps ``pins/<name>.json``.

    :param storage: where they lie.
    :param prefix: folder of the workspace's records in it.
    """

    def __init__(self, storage: RecordStorage, prefix: str = "mlpipe") -> None:
        self._storage = storage
        self._prefix = prefix

    def put(self, pin: Pin) -> None:
        """Keep a pin, in place of an earlier one of its name."""
        if not pin.attempts:
            raise ParameterError(f"The run {pin.run_id!r} of {pin.pipeline!r} has no outputs, there is nothing to pin.")
        self._storage.replace(self._place(pin.name), seal(json.dumps(asdict(pin)).encode()))

    def remove(self, name: str) -> bool:
        """Drop a pin; False if there was none."""
        return self._storage.delete(self._place(name))

    def all(self) -> list[Pin]:
        """Return all pins, sorted by name.

        :raises StoreError: if one is damaged: what it keeps cannot be known.
        """
        return [pin for key in self._storage.keys(f"{self._prefix}/pins/") if (pin := self._read(key)) is not None]

    def _read(self, key: str) -> Pin | None:
        data = self._storage.read(key)
        if data is None:
            return None
        try:
            found = json.loads(unseal(data))
            return Pin(found["name"], found["pipeline"], found["run_id"], tuple(map(str, found["attempts"])))
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"The pin {key} is damaged, so nobody knows what it keeps. Pin that run again under the same name, "
                "or delete this record."
            ) from error

    def _place(self, name: str) -> str:
        return f"{self._prefix}/pins/{segment(name)}.json"
