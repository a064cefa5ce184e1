"""How far a copy has come, said every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from airflow_mlpipe.execution.choice import format_bytes
from airflow_mlpipe.execution.run_info import Say

_EVERY = 5.0
_MINUTE = 60


class Meter:
    """Counts bytes and says a line of progress, at most every few seconds. May be called from several threads.

    :param say: takes the lines.
    :param what: named in them.
    :param size: bytes in all; 0 if nobody knows.
    :param clock: seconds, for tests.
    """

    def __init__(self, say: Say, what: str, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._what = what
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        self._moved = 0
        self._skipped = 0
        self._started = self._last = clock()

    def skip(self, count: int) -> None:
        """Count bytes that are there already."""
        with self._lock:
            self._skipped += count

    def __call__(self, count: int) -> None:
        """Count bytes that were moved."""
        with self._lock:
            self._moved += count
            now = self._clock()
            if now - self._last < _EVERY:
                return
            self._last = now
            line = self._line(now - self._started)
        self._say(line)

    def _line(self, seconds: float) -> str:
        done = self._moved + self._skipped
        rate = self._moved / seconds
        text = f"{self._what}: {format_bytes(done)}"
        if self._size:
            text += f" of {format_bytes(self._size)} ({min(100, 100 * done // self._size)} %)"
        text += f", {format_bytes(int(rate))}/s"
        left = (self._size - done) / rate if rate and self._size > done else 0
        return f"{text}, about {_length(left)} left" if left else text


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 2 * _MINUTE else f"{seconds / _MINUTE:.0f} min"
