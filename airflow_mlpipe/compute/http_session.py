"""One HTTP session for each event loop: a triggerer that follows a thousand jobs opens few connections and no more.

aiohttp is imported at the first request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_mlpipe.errors import ConfigError

if TYPE_CHECKING:
    from aiohttp import ClientSession

CONNECTIONS_PER_HOST = 8
_TIMEOUT, _CONNECT_TIMEOUT = 60.0, 20.0
_holders: WeakKeyDictionary[asyncio.AbstractEventLoop, _Holder] = WeakKeyDictionary()


class _Holder:
    """Keeps the session of one loop; the loop closes it when it ends, as it does with all its generators."""

    def __init__(self) -> None:
        self.session: ClientSession | None = None
        self._keeper = self._keep()

    async def open(self) -> ClientSession:
        """Return the session, opened at the first call."""
        if self.session is None or self.session.closed:
            self._keeper = self._keep()
            await anext(self._keeper)
        if self.session is None:
            raise RuntimeError("The event loop is ending.")
        return self.session

    async def _keep(self) -> AsyncGenerator[None, None]:
        import aiohttp  # noqa: PLC0415 - slow to import, and most people have no HTTP target

        # A worker that asks once must not wait for connections to linger, nor leave cookies for the next target.
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit_per_host=CONNECTIONS_PER_HOST),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT, connect=_CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )
        try:
            yield
        finally:
            await self.session.close()


async def http_session(extra: str) -> ClientSession:
    """Return the session of the running event loop.

    :param extra: the extra that brings aiohttp, named when it is missing.
    :raises ConfigError: if aiohttp is not installed.
    """
    holder = _holders.setdefault(asyncio.get_running_loop(), _Holder())
    try:
        return await holder.open()
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"This compute target needs {error.name}. Install it: pip install 'airflow-mlpipe[{extra}]'."
        ) from None
