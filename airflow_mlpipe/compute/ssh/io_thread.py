"""The thread of this process that speaks SSH, so that a connection outlives the event loop of whoever asks.

A worker runs each verb in an event loop of its own, and the triggerer's loop must not be held up by encryption. So all
connections live in one loop of one thread; it ends with the process.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_PATIENCE = 5.0


class IOThread:
    """A thread with an event loop. A fork of the process starts one of its own."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="mlpipe-ssh", daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the thread; cancelling the caller cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def stop(self, last: Coroutine[Any, Any, None]) -> None:
        """Run what is to be run last, then end the thread."""
        if self.owner != os.getpid():
            last.close()
            return
        future = asyncio.run_coroutine_threadsafe(last, self.loop)
        try:
            future.result(_PATIENCE)
        except TimeoutError:
            future.cancel()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_PATIENCE)
        if not self._thread.is_alive():
            self.loop.close()


class _Current:
    thread: IOThread | None = None
    guard = threading.Lock()


def io_thread() -> IOThread:
    """Return the thread of this process."""
    with _Current.guard:
        if _Current.thread is None or _Current.thread.owner != os.getpid():
            _Current.thread = IOThread()
        return _Current.thread


def _forked() -> None:
    """A fork has no threads, and maybe a lock that somebody else held."""
    _Current.thread, _Current.guard = None, threading.Lock()


os.register_at_fork(after_in_child=_forked)


def stop_io_thread(last: Coroutine[Any, Any, None]) -> None:
    """End the thread of this process, if there is one."""
    thread, _Current.thread = _Current.thread, None
    if thread is None:
        last.close()
    else:
        thread.stop(last)
