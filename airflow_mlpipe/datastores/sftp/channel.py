"""One SSH connection for all threads of a process, on an event loop in a thread of its own.

Datastores are called from worker threads, asyncssh lives on a loop. The loop's thread begins with the first request;
a forked child begins anew; and a connection that was lost is opened again by the next request.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_mlpipe.errors import StoreError
from airflow_mlpipe.ssh import SSHSettings, connect

if TYPE_CHECKING:
    from concurrent.futures import Future

    import asyncssh

_T = TypeVar("_T")
_PAUSES = (0.5, 2.0, 5.0)
"""Seconds before a lost connection is tried again."""


class LostConnectionError(StoreError):
    """The connection broke off: whether the last request was carried out is not known."""


class Channel:
    """Requests to one SFTP server. Safe to use from many threads.

    :param settings: how its host is reached.
    """

    def __init__(self, settings: SSHSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._life: _Life | None = None
        self._abandoned: list[_Life] = []

    def call(self, work: Callable[[asyncssh.SFTPClient], Awaitable[_T]]) -> _T:
        """Do some requests, once.

        :param work: what to do with the client; its paths are bytes.
        :raises LostConnectionError: if the connection broke off meanwhile.
        :raises StoreError: if the host cannot be reached.
        :raises ConfigError: if it is not the host that it should be, or does not accept us.
        :raises asyncssh.SFTPError: what the server says.
        """
        future = self._alive().start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def again(self, work: Callable[[], _T]) -> _T:
        """Do something that may be done twice; when the connection breaks off, a few times more."""
        for pause in _PAUSES:
            with suppress(LostConnectionError):
                return work()
            time.sleep(pause)
        return work()

    def look(self, work: Callable[[asyncssh.SFTPClient], Awaitable[_T]]) -> _T:
        """Do requests that change nothing, so that they may be repeated."""
        return self.again(lambda: self.call(work))

    def _alive(self) -> _Life:
        with self._lock:
            life = self._life
            if life is not None and life.pid != os.getpid():
                self._abandoned.append(life)  # the parent's: its sockets must not be closed from here
                life = None
            if life is None:
                life = self._life = _Life(self.settings)
                weakref.finalize(self, life.end)
            return life


class _Life:
    """A loop, its thread and its connection, in the process that made them."""

    def __init__(self, settings: SSHSettings) -> None:
        import asyncio  # noqa: PLC0415 - slow to import, and most processes only plan

        self.pid = os.getpid()
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._opening = asyncio.Lock()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None
        threading.Thread(target=self._run, name=f"mlpipe-sftp-{settings.host}", daemon=True).start()

    def start(self, work: Callable[[asyncssh.SFTPClient], Awaitable[_T]]) -> Future[_T]:
        """Begin some requests on the loop."""
        import asyncio  # noqa: PLC0415 - as above

        return asyncio.run_coroutine_threadsafe(self._do(work), self._loop)

    def end(self) -> None:
        """Close the connection and stop the thread; does not wait, because a garbage collector may call it."""
        if self.pid == os.getpid() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop)

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _stop(self) -> None:
        if self._connection is None:
            self._loop.stop()
            return
        self._connection.abort()
        closing = self._loop.create_task(self._connection.wait_closed())
        closing.add_done_callback(lambda _task: self._loop.stop())

    async def _do(self, work: Callable[[asyncssh.SFTPClient], Awaitable[_T]]) -> _T:
        client = await self._open()
        import asyncssh  # noqa: PLC0415 - an extra; whoever lacks it has been told while it was opened

        try:
            return await work(client)
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError) as error:
            raise self._lost(client, error) from None
        except (asyncssh.ChannelOpenError, BrokenPipeError, ConnectionError) as error:
            raise self._lost(client, error) from None

    def _lost(self, client: Any, error: BaseException) -> LostConnectionError:
        if self._client is client:
            self._client = None
        return LostConnectionError(
            f"{self._settings.where}: the connection to {self._settings.address} broke off ({error}). Try again."
        )

    async def _open(self) -> asyncssh.SFTPClient:
        async with self._opening:
            if self._client is None:
                before, self._connection = self._connection, None
                if before is not None:
                    before.abort()
                try:
                    self._connection = await connect(self._settings)
                except ConnectionError as error:
                    self._connection = before
                    raise (StoreError if before is None else LostConnectionError)(str(error)) from None
                self._client = await self._begin(self._connection)
            return self._client

    async def _begin(self, connection: asyncssh.SSHClientConnection) -> asyncssh.SFTPClient:
        import asyncssh  # noqa: PLC0415 - as above

        try:
            return await connection.start_sftp_client(path_encoding=None)
        except (asyncssh.Error, OSError) as error:
            connection.abort()
            raise StoreError(
                f"{self._settings.where}: {self._settings.address} offers no SFTP ({error}). Switch it on there "
                f"(Subsystem sftp), or name another host."
            ) from None
