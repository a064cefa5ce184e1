"""A mapping of a foreign file that knows which of its keys were understood."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.structure import describe

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]+", re.ASCII)


class Section:
    """Keys that nobody takes are reported by :meth:`close`, so nothing can be dropped in silence.

    :param data: the mapping; anything else is reported and counts as empty.
    """

    def __init__(self, data: Any, place: Place, faults: Faults) -> None:
        self.place = place
        self._faults = faults
        self._data: dict[str, Any] = data if isinstance(data, dict) else {}
        self._taken: set[str] = set()
        if data is not None and not isinstance(data, dict):
            self.lost(place, f"{describe(data)} stands where keys are expected.")

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def take(self, *keys: str) -> Any:
        """Return the value of the first key that is there, ``None`` if none is; all of them count as understood."""
        self._taken.update(keys)
        return next((self._data[key] for key in keys if self._data.get(key) is not None), None)

    def text(self, *keys: str) -> str | None:
        """Return a value as text; numbers and booleans as they were written."""
        value = self.take(*keys)
        if value is None or isinstance(value, str):
            return value
        key = next(key for key in keys if self._data.get(key) is not None)
        if isinstance(value, dict | list):
            self.lost(self.place / key, f"{describe(value)} stands where text is expected.")
            return None
        return (self.place / key).text or str(value)

    def section(self, key: str) -> Section:
        """Return the mapping of a key, empty if there is none."""
        return self.within(self.take(key), key)

    def within(self, value: Any, *keys: str | int) -> Section:
        """Return a value that was taken from below this section as a section of its own."""
        return Section(value, self.place.below(keys), self._faults)

    def sections(self, key: str) -> Iterator[tuple[str, Section]]:
        """Yield the mappings of a mapping of mappings."""
        inner = self.section(key)
        for name in list(inner.keys()):
            yield name, inner.section(name)
        inner.close()

    def keys(self) -> Iterator[str]:
        """Yield the keys that nobody has taken yet."""
        return (key for key in self._data if key not in self._taken)

    def lost(self, place: Place, reason: str) -> None:
        """Report something that is not carried over."""
        self._faults.add(place, "MLP401", f"is not carried over: {reason}", of_key=True)

    def changed(self, place: Place, reason: str) -> None:
        """Report something that is carried over as something else."""
        self._faults.add(place, "MLP402", reason, of_key=True)

    def close(self, reason: str = "there is no such key in our pipelines.") -> None:
        """Report the keys that nobody took."""
        for key in list(self.keys()):
            self._taken.add(key)
            self.lost(self.place / key, reason)


class Names:
    """Gives each foreign name one of ours: ASCII, unique."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def __getitem__(self, foreign: str) -> str:
        return self._given[foreign]

    def __contains__(self, foreign: object) -> bool:
        return foreign in self._given

    def give(self, foreign: str) -> str:
        """Return the name for a foreign one, the same each time."""
        if foreign not in self._given:
            wanted = plain_name(foreign)
            name, number = wanted, 2
            while name in self._given.values():
                name, number = f"{wanted}_{number}", number + 1
            self._given[foreign] = name
        return self._given[foreign]


def plain_name(text: str) -> str:
    """Return text as an identifier: letters, digits and ``_``, not beginning with a digit."""
    name = _NOT_IN_NAMES.sub("_", text).strip("_") or "unnamed"
    return f"_{name}" if name[0].isdigit() else name


def failing_command(what: str) -> str:
    """Return the command of a job that could not be carried over: the graph stays, and nobody believes it ran."""
    plain = re.sub(r"[^A-Za-z0-9_.,: -]+", "_", what)
    return f"echo 'not imported: {plain}' >&2; exit 1"
