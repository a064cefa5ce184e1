"""A bad network on loopback: a proxy for any TCP server that stalls, swallows replies and resets connections."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_BLOCK = 65536
_PATIENCE = 10.0


class TcpProxy:
    """Listens on a free port of loopback and hands on what it gets.

    Use it as a context manager. All methods may be called from any thread.

    :param target: port of the server, on 127.0.0.1.
    :ivar port: where it listens.
    :ivar connections: how many there have been.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.connections = 0
        self.replies_left: int | None = None
        self._flowing = asyncio.Event()
        self._refusing = False
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> TcpProxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(_PATIENCE)
        return self

    def __exit__(self, *_error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def stall(self) -> None:
        """Hand on nothing more, in both directions, without ending anything."""
        self._do(self._flowing.clear)

    def flow(self) -> None:
        """Hand on everything again."""
        self._do(self._flowing.set)

    def reset(self) -> None:
        """End every connection with a reset, as a broken network would. New ones are taken."""
        self._do(self._reset)

    def refuse(self, refusing: bool = True) -> None:
        """Reset new connections at once, or take them again."""
        self._do(lambda: setattr(self, "_refusing", refusing))

    def lose_replies_after(self, count: int) -> None:
        """Hand on so many bytes of the server's more, lose the reply that would come then, and reset.

        What was asked is done, and nobody hears of it. It happens once.
        """
        self._do(lambda: setattr(self, "replies_left", count))

    def _do(self, work: Callable[[], Any]) -> None:
        async def now() -> None:
            work()

        asyncio.run_coroutine_threadsafe(now(), self._loop).result(_PATIENCE)

    async def _start(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._flowing.set()
        if self._server is not None:
            self._server.close()
        self._reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _reset(self) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refusing:
            _reset(writer)
            return
        try:
            answers, questions = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(writer)
            return
        pair = (writer, questions)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._hand_on(reader, questions, None), self._hand_on(answers, writer, self._lose))
        finally:
            self._pairs.discard(pair)
            for each in pair:
                each.transport.abort()

    async def _hand_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes] | None
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_BLOCK):
                await self._flowing.wait()
                writer.write(change(data) if change else data)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.write_eof()

    def _lose(self, data: bytes) -> bytes:
        """Return what is handed on of a reply."""
        if self.replies_left is None:
            return data
        kept = data[: self.replies_left]
        self.replies_left -= len(kept)
        if len(kept) < len(data):
            self.replies_left = None
            self._loop.call_soon(self._reset)
        return kept


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset instead of an orderly end."""
    found = writer.get_extra_info("socket")
    with suppress(OSError):
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
