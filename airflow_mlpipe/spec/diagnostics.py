"""Faults: what is wrong in which file, line and column, in words that say what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from airflow_mlpipe.spec.looks import Looks

Level = Literal["error", "warning", "advice"]
KeyPath = tuple[str | int, ...]

FIRST_WARNING = 200
"""Codes from here on are warnings; docs/codes.md lists all of them."""
FIRST_ADVICE = 300
"""Codes from here on are what only ``mlpipe lint`` says."""
FIRST_REMARK = 400
"""Codes from here on are what ``mlpipe import`` says of the files of other systems."""
NOT_IMPORTABLE = 403


def level_of(code: str) -> Level:
    """Return the level of a code, ``MLP021``."""
    number = int(code[3:])
    if number >= FIRST_REMARK:
        return "error" if number == NOT_IMPORTABLE else "warning"
    return "advice" if number >= FIRST_ADVICE else "warning" if number >= FIRST_WARNING else "error"


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """A place in a file, counted from 1; columns are characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value was written.

    :param key: position of its key; of the value itself for an item of a list.
    :param value: position of the value.
    :param text: a scalar exactly as written, without quotes; ``None`` for a mapping or a list.
    """

    key: Position
    value: Position
    text: str | None = None


@dataclass(frozen=True, order=True)
class Fault:
    """One fault of one file.

    :param code: stable, listed in docs/codes.md.
    :param path: keys from the top of the file, ``jobs.train.inputs.x``; empty for the file as a whole.
    :param message: what was seen, what is allowed, what to do.
    """

    file: str
    line: int
    column: int
    level: Level
    code: str
    path: str
    message: str

    def __str__(self) -> str:
        """Return the line that front ends print."""
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column} {self.level} {self.code}  {where}{self.message}"


@dataclass(frozen=True)
class Place:
    """A value within a file, whether or not it was written; ``place / key`` goes down."""

    file: str
    marks: Mapping[KeyPath, Mark]
    path: KeyPath = ()

    def __truediv__(self, key: str | int) -> Place:
        return Place(self.file, self.marks, (*self.path, key))

    def below(self, keys: Iterable[str | int]) -> Place:
        """Go down several keys at once."""
        return Place(self.file, self.marks, (*self.path, *keys))

    def __str__(self) -> str:
        """Return the dotted path, ``airflow.tags[0]``."""
        text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path)
        return text.removeprefix(".")

    @property
    def text(self) -> str | None:
        """The scalar as it was written, ``None`` if it is not a scalar or not there."""
        mark = self.marks.get(self.path)
        return mark.text if mark else None

    @property
    def is_written(self) -> bool:
        """Whether the file has this key, right or wrong."""
        return self.path in self.marks

    def position(self, of_key: bool = False) -> Position:
        """Return the position of the value (or its key); of the nearest parent if it was not written."""
        path = self.path
        while path and path not in self.marks:
            path = path[:-1]
        mark = self.marks.get(path)
        if mark is None:
            return Position(1, 1)
        return mark.key if of_key or path != self.path else mark.value


class Faults:
    """Collects faults while a pipeline is read, so that all are reported at once.

    :param looks: notes what the readers look at.
    """

    def __init__(self, looks: Looks | None = None) -> None:
        self._found: dict[Fault, None] = {}
        self.looks = looks or Looks()

    def add(self, place: Place, code: str, message: str, of_key: bool = False) -> None:
        """Note a fault; the code decides whether it is an error or a warning. The same fault counts once.

        :param of_key: point at the key rather than at the value.
        """
        self._add(place, str(place), code, message, of_key)

    def add_unknown_key(self, place: Place, message: str) -> None:
        """Note a key that nobody knows: it is pointed at, and the mapping that holds it is named."""
        holder = Place(place.file, place.marks, place.path[:-1])
        self._add(place, str(holder), "MLP021", f"unknown key '{place.path[-1]}'.{message}", True)

    def _add(self, place: Place, path: str, code: str, message: str, of_key: bool) -> None:
        at = place.position(of_key)
        self._found[Fault(place.file, at.line, at.column, level_of(code), code, path, message)] = None

    def _sorted(self, level: Level) -> tuple[Fault, ...]:
        return tuple(sorted(fault for fault in self._found if fault.level == level))

    @property
    def errors(self) -> tuple[Fault, ...]:
        """All errors by file and position."""
        return self._sorted("error")

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """All warnings by file and position."""
        return self._sorted("warning")

    @property
    def advice(self) -> tuple[Fault, ...]:
        """All advice by file and position."""
        return self._sorted("advice")

    @property
    def remarks(self) -> tuple[Fault, ...]:
        """What was not carried over from another system, by position."""
        return tuple(fault for fault in self.warnings if int(fault.code[3:]) >= FIRST_REMARK)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest known word, or nothing."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def listed(words: Iterable[str], most: int = 20) -> str:
    """Return the words for a message, sorted, not more than a line or two of them; ``none`` if there are none."""
    found = sorted(words)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(f"'{word}'" for word in found[:most]) + more or "none"
