"""Many transfers at once, with a bound on memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

from airflow_mlpipe.datastores.base import Progress

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Lanes:
    """Runs pieces of work in threads. The first error ends all; the block ends when all work is done.

    :param threads: pieces at once.
    :param memory: bytes that all pieces at work may hold together; one larger piece runs alone.
    """

    def __init__(self, threads: int, memory: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mlpipe-lane")
        self._memory = memory
        self._free = memory
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._waiting = 0
        self._most_waiting = threads * 4

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if error is None and self._failure is not None:
            raise self._failure

    def reserve(self, size: int) -> None:
        """Wait until a piece of this size may begin; the piece gives it back.

        :raises BaseException: what another piece has raised.
        """
        weight = min(size, self._memory)
        with self._changed:
            while self._failure is None and (self._free < weight or self._waiting >= self._most_waiting):
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
            self._free -= weight
            self._waiting += 1

    def submit(self, size: int, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Start a piece of work for which room was reserved."""
        return self._pool.submit(self._run, size, lambda: work(*args, **kwargs))

    def _run(self, size: int, work: Callable[[], _R]) -> _R:
        try:
            if self._failure is not None:
                raise self._failure
            return work()
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            with self._changed:
                self._free += min(size, self._memory)
                self._waiting -= 1
                self._changed.notify_all()


def counted(progress: Progress | None) -> Progress:
    """Return a callback that takes calls from many threads, one after the other, and leaves out zeros."""
    lock = threading.Lock()

    def count(size: int) -> None:
        if progress and size:
            with lock:
                progress(size)

    return count
