"""One request to a web server: verified TLS, redirects followed by hand, no way to private machines."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from airflow_mlpipe.errors import DataError

_REDIRECTS = 5
_VOUCHES_AFTER = 60.0
_ABSENT = frozenset({404, 410})
_NO_HEAD = frozenset({400, 403, 405, 501})
_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")
_PORT = 443


@dataclass(frozen=True)
class Limits:
    """What a download may do.

    :param max_bytes: size of a file.
    :param allow_private: servers on loopback, in private and in link-local networks too.
    :param timeout: seconds of silence.
    """

    max_bytes: int = 100 << 30
    allow_private: bool = False
    timeout: float = 60.0

    def check(self, size: int, url: str) -> None:
        """Refuse a file that is too large.

        :raises DataError: if it is.
        """
        if size > self.max_bytes:
            raise DataError(
                f"{shown(url)} has more than {self.max_bytes} bytes. Raise 'max_bytes' of its datastore if need be."
            )


def shown(url: str) -> str:
    """Return a URL without what may be secret in it."""
    return url.partition("?")[0].partition("#")[0]


@dataclass(frozen=True)
class Reply:
    """An answer whose body may still be read."""

    response: httpx.Response
    url: str
    limits: Limits

    @property
    def status(self) -> int:
        """HTTP status, 200 or 206."""
        return self.response.status_code

    @property
    def size(self) -> int | None:
        """Bytes of the body, ``None`` if the server does not say."""
        text = self.response.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def etag(self) -> str | None:
        """The ETag, if it is a strong one."""
        etag = self.response.headers.get("etag", "")
        return etag if len(etag) > 1 and etag.startswith('"') and etag.endswith('"') else None

    @property
    def mark(self) -> str | None:
        """What the server vouches for the content with: a strong ETag, or a date of change that is a minute old.

        A younger date may not have counted a later change in the same second (RFC 9110, 8.8.2.2).
        """
        if self.etag is not None:
            return self.etag
        try:
            changed = parsedate_to_datetime(self.response.headers["last-modified"])
            now = parsedate_to_datetime(self.response.headers["date"])
            old = (now - changed).total_seconds() >= _VOUCHES_AFTER
        except (KeyError, ValueError, TypeError):
            return None
        return changed.isoformat() if old else None

    @property
    def range_start(self) -> int | None:
        """Where a partial body begins."""
        match = _CONTENT_RANGE.fullmatch(self.response.headers.get("content-range", ""))
        return int(match[1]) if match else None

    def blocks(self) -> Iterator[bytes]:
        """Yield the body as it is.

        :raises DataError: if it is encoded, too large, or the connection breaks.
        """
        encoding = self.response.headers.get("content-encoding", "identity")
        if encoding not in ("", "identity"):
            raise DataError(f"{shown(self.url)} was sent as {encoding} although nobody asked for that.")
        total = 0
        try:
            for block in self.response.iter_raw():
                total += len(block)
                self.limits.check(total, self.url)
                yield block
        except httpx.HTTPError as error:
            raise DataError(
                f"{shown(self.url)} broke off: {_words(error)}. Retry: it goes on from there if the server allows."
            ) from error


class Client:
    """Asks web servers, one request at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    @contextmanager
    def ask(
        self, method: Literal["HEAD", "GET"], url: str, headers: dict[str, str] | None = None
    ) -> Iterator[Reply | None]:
        """Give the answer, ``None`` if there is no such file.

        :param method: a server that knows no HEAD is asked by GET, and its body not read.
        :raises DataError: if the server cannot be reached, refuses, or leads astray.
        """
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        try:
            with httpx.Client(timeout=self._limits.timeout, follow_redirects=False, headers=sent) as client:
                with self._follow(client, method, url) as reply:
                    if method == "GET" or reply is None or reply.status not in _NO_HEAD:
                        yield self._good(reply)
                        return
                with self._follow(client, "GET", url) as reply:
                    yield self._good(reply)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DataError(f"{shown(url)} cannot be read: {_words(error)}. Check the address; retry later.") from error

    @contextmanager
    def _follow(self, client: httpx.Client, method: str, url: str) -> Iterator[Reply | None]:
        for _ in range(_REDIRECTS + 1):
            self._check_address(url)
            with client.stream(method, url) as response:
                self._check_peer(response, url)
                if not response.has_redirect_location:
                    absent = response.status_code in _ABSENT
                    yield None if absent else Reply(response, url, self._limits)
                    return
                url = str(response.url.join(response.headers["location"]))
        raise DataError(f"{shown(url)}: more than {_REDIRECTS} redirects.")

    def _good(self, reply: Reply | None) -> Reply | None:
        if reply is None:
            return None
        if reply.status not in (200, 206):
            hint = " It wants a login." if reply.status in (401, 403) else ""
            raise DataError(f"{shown(reply.url)} answers {reply.status} {reply.response.reason_phrase}.{hint}")
        if reply.size is not None:
            self._limits.check(reply.size, reply.url)
        return reply

    def _check_address(self, url: str) -> None:
        """Refuse another scheme, and a host that is, or resolves to, a machine that the public does not reach."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" or parts.username is not None:
            raise DataError(f"{shown(url)} is not a plain https address; a redirect to one is not followed.")
        if self._limits.allow_private:
            return
        literal = _address(host)
        if literal is None and _is_proxied(host):
            return
        try:
            found = [literal] if literal else _resolve(host, parts.port or _PORT)
        except OSError as error:
            raise DataError(f"The host {host!r} cannot be found: {error}. Check the address.") from error
        for address in found:
            _refuse_private(address, host)

    def _check_peer(self, response: httpx.Response, url: str) -> None:
        """Look at the machine that really answered: a name may lead somewhere else from one moment to the next."""
        host = urlsplit(url).hostname or ""
        stream = response.extensions.get("network_stream")
        if self._limits.allow_private or stream is None or (_address(host) is None and _is_proxied(host)):
            return
        peer = stream.get_extra_info("server_addr")
        address = _address(str(peer[0])) if peer else None
        if address is not None:
            _refuse_private(address, host)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _resolve(host: str, port: int) -> list[_Address]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [address for answer in answers if (address := _address(str(answer[4][0]))) is not None]


def _refuse_private(address: _Address, host: str) -> None:
    inner = getattr(address, "ipv4_mapped", None) or address
    if not inner.is_global or inner.is_multicast:
        raise DataError(
            f"The host {host!r} leads to {address}, which is not a public address. If that is meant, declare a "
            "datastore of type https with 'allow_private: true'."
        )


def _is_proxied(host: str) -> bool:
    return bool(getproxies().get("https") or getproxies().get("all")) and not proxy_bypass(host)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
