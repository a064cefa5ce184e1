"""An app that costs nothing until it is called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class LazyApp:
    """Stands where Airflow wants an ASGI app; the first call builds the real one.

    :param module: with ``create_app(outer)``, which returns the real app; ``outer`` is Airflow's own.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._app: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._app is None:
            import asyncio  # noqa: PLC0415 - not for the processes that never get here

            self._app = await asyncio.to_thread(self._build, scope["app"])
        await self._app(scope, receive, send)

    def _build(self, outer: Any) -> Any:
        from importlib import import_module  # noqa: PLC0415 - not for the processes that never get here

        return import_module(self._module).create_app(outer)
