"""The few functions of asyncio that jobs need, under asyncio's names, imported when the first job is awaited.

Importing asyncio takes as long as planning twenty steps, and a run that reuses every step awaits nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

_T = TypeVar("_T")
_P = ParamSpec("_P")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end in a loop of its own, as :func:`asyncio.run`."""
    import asyncio  # noqa: PLC0415 - slow to import

    return asyncio.run(work)


async def to_thread(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Call something that blocks without blocking the loop, as :func:`asyncio.to_thread`."""
    import asyncio  # noqa: PLC0415 - slow to import

    return await asyncio.to_thread(work, *arguments, **named)


async def sleep(seconds: float) -> None:
    """Let others go on for a while, as :func:`asyncio.sleep`."""
    import asyncio  # noqa: PLC0415 - slow to import

    await asyncio.sleep(seconds)


async def readable(descriptor: int, seconds: float) -> None:
    """Wait until something can be read from a descriptor, no longer than some seconds."""
    import asyncio  # noqa: PLC0415 - slow to import

    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    waiting = loop.create_task(ready.wait())
    try:
        await asyncio.wait({waiting}, timeout=seconds)
    finally:
        waiting.cancel()
        loop.remove_reader(descriptor)
