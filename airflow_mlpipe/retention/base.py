"""What garbage collection is asked for, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from airflow_mlpipe.errors import ParameterError

Kind = Literal["result", "attempt", "job folder", "run records", "scratch", "source texts", "leases"]
Action = Literal["retire", "delete", "restore", "wait"]
"""``retire``: nobody finds it any more, its data go after the grace. ``wait``: the grace is not over."""

_AGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|h|d|w)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, None: 1}
_LONGEST = timedelta(days=36500)


def age(text: str, name: str = "the age") -> timedelta:
    """Return a length of time that was written as ``30d``, ``24h``, ``15m`` or seconds.

    :param name: of the option, for the error.
    :raises ParameterError: if it is none.
    """
    match = _AGE.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else -1
    if not 0 <= seconds <= _LONGEST.total_seconds():
        raise ParameterError(f"{name} is {text!r}; write a length of time such as 30d, 24h, 15m, or 0.")
    return timedelta(seconds=seconds)


@dataclass(frozen=True)
class Policy:
    """What is kept for how long.

    :param older_than: a result that nobody used for this long may go, and the data of runs that are this old.
    :param keep_last: the outputs of so many latest runs of each pipeline stay, however old they are.
    :param keep_runs: the records of so many latest runs of each pipeline stay; ``None`` for all.
    :param grace: between the moment from which nobody can find a result and the end of its data; longer than any run.
    """

    older_than: timedelta = timedelta(days=30)
    keep_last: int = 10
    keep_runs: int | None = 1000
    grace: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        for name in ("keep_last", "keep_runs"):
            number = getattr(self, name)
            if number is not None and number < 0:
                raise ParameterError(f"{name} is {number}; write a number of runs, 0 or more.")
        for name in ("older_than", "grace"):
            if getattr(self, name) < timedelta(0):
                raise ParameterError(f"{name} is negative; write a length of time such as 30d, or 0.")


@dataclass(frozen=True)
class Item:
    """One thing that goes, or will go.

    :param kind: what it is.
    :param name: as a person knows it: ``train of run r1 of flights``, or the id of an attempt.
    :param action: what happens to it now.
    :param why: in words.
    :param size: bytes that become free when it is gone, ``None`` if nobody can say.
    :param due: when its data go, ``None`` if now.
    :param apply: does it, and says in words why it was better not done, ``None`` when it is done.
    """

    kind: Kind
    name: str
    action: Action
    why: str
    size: int | None = None
    due: datetime | None = None
    apply: Callable[[], str | None] = field(default=lambda: None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        due = None if self.due is None else self.due.isoformat()
        return {
            "kind": self.kind,
            "name": self.name,
            "action": self.action,
            "why": self.why,
            "bytes": self.size,
            "due": due,
        }


@dataclass(frozen=True)
class Report:
    """What garbage collection found and did.

    :param items: in the order in which they are done.
    :param deleted: whether it was done, or only looked at.
    :param problems: what could not be done, in words.
    :param spared: what was left because somebody used it meanwhile, in words.
    :param kept: number of attempts that something needs.
    """

    items: tuple[Item, ...]
    deleted: bool
    problems: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    kept: int = 0

    def freed(self, action: Action = "delete") -> int:
        """Return the bytes of all items of one action."""
        return sum(item.size or 0 for item in self.items if item.action == action)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "dry_run": not self.deleted,
            "bytes": self.freed(),
            "kept_attempts": self.kept,
            "items": [item.to_json() for item in self.items],
            "problems": list(self.problems),
            "spared": list(self.spared),
        }
