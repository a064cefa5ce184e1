"""A proxy before a real HTTP server that does what networks do: loses replies, cuts them off, says strange things."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_NOT_FORWARDED = ("connection", "transfer-encoding", "content-length", "host", "keep-alive")
_PATIENCE = 120.0


@dataclass(frozen=True)
class Reply:
    """What is sent back.

    :param status: of HTTP.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What was asked."""

    method: str
    path: str
    body: bytes


LOSE = "lose"
"""The server gets the request and answers it; whoever asked sees a broken connection."""
REFUSE = "refuse"
"""The server sees nothing, whoever asked sees a broken connection."""
Rule = Callable[[Asked], "Reply | str | None"]
"""Says what to do with a request: a reply in place of the server's, :data:`LOSE`, :data:`REFUSE`; ``None`` passes."""


class HttpProxy:
    """Stands before a server on loopback; a context manager.

    :param upstream: address of the server, ``http://127.0.0.1:port``.
    :ivar rule: may be changed at any time.
    :ivar journal: all requests so far, in the order in which they came, with the status that the server gave; 0 for
        those that it did not get.
    """

    def __init__(self, upstream: str, rule: Rule = lambda _asked: None) -> None:
        self.rule = rule
        self.journal: list[tuple[Asked, int]] = []
        self._host = urlsplit(upstream).netloc
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> HttpProxy:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """Where to ask."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self, method: str) -> list[str]:
        """Return the paths that were asked for with a method."""
        return [asked.path for asked, _ in self.journal if asked.method == method]

    def forward(self, asked: Asked, headers: Mapping[str, str]) -> Reply:
        """Ask the server."""
        connection = HTTPConnection(self._host, timeout=_PATIENCE)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() not in _NOT_FORWARDED}
            connection.request(asked.method, asked.path, asked.body, kept)
            reply = connection.getresponse()
            return Reply(reply.status, reply.read(), dict(reply.getheaders()))
        except (OSError, HTTPException) as error:
            return Reply(502, str(error).encode())
        finally:
            connection.close()

    def decide(self, asked: Asked, headers: Mapping[str, str]) -> Reply | None:
        """Do with a request what the rule says; ``None`` breaks the connection."""
        decision = self.rule(asked)
        if isinstance(decision, Reply) or decision == REFUSE:
            self.journal.append((asked, 0))
            return decision if isinstance(decision, Reply) else None
        reply = self.forward(asked, headers)
        self.journal.append((asked, reply.status))
        return None if decision == LOSE else reply

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        class Handler(_Handler):
            decide = staticmethod(self.decide)

        return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    decide: Callable[[Asked, Mapping[str, str]], Reply | None]

    def handle_one_request(self) -> None:
        with suppress(ConnectionError, OSError):
            super().handle_one_request()

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply = self.decide(Asked(self.command, self.path, body), dict(self.headers))
        if reply is None:
            self._break_off()
        else:
            self._send(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - names of the library

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            if name.lower() not in _NOT_FORWARDED:
                self.send_header(name, value)
        if self.command == "HEAD":
            sizes = [size for name, size in reply.headers.items() if name.lower() == "content-length"]
            self.send_header("Content-Length", sizes[0] if sizes else "0")
        elif reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD" and reply.status != 204:
            self.wfile.write(reply.body)

    def _break_off(self) -> None:
        """Reset the connection, as a router does that has lost it."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
