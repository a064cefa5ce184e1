"""Connections of the SDK's own transport, without the objects that requests and the SDK make around each answer.

Those cost more than the request itself, see ``docs/decisions/230-connections-without-objects-around-them.md``. Imports
Azure, so it is imported when a container is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest, HttpResponse
from requests import Request
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError, SSLError
from urllib3.util import Timeout

from airflow_mlpipe.datastores.azure_blob.container import PIECE

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from urllib3 import HTTPConnectionPool
    from urllib3.response import BaseHTTPResponse

_NOT_SENT = (NewConnectionError, ConnectTimeoutError, ProxyError, SSLError)


class Connections(HTTPAdapter):
    """What the SDK's transport reaches the service through; gives its connections away as well."""

    def pool(self, url: str, verify: bool | str, proxies: Mapping[str, str]) -> HTTPConnectionPool:
        """Return the connections to the host of an address, with its certificate verified as requests does it.

        :param verify: file or folder of authorities, or True for the usual ones.
        :param proxies: scheme to address.
        """
        request = Request("GET", url).prepare()
        pool = self.get_connection_with_tls_context(request, verify, proxies=dict(proxies))
        self.cert_verify(pool, url, verify, None)
        return pool


class PooledTransport(HttpTransport[HttpRequest, HttpResponse]):
    """Sends the requests of a pipeline over connections to one host.

    :param pool: the connections.
    :param connect: seconds until one must be there.
    :param read: seconds until the service must have said something.
    """

    def __init__(self, pool: HTTPConnectionPool, connect: float, read: float) -> None:
        self._pool = pool
        self._timeout = Timeout(connect, read)

    def __enter__(self) -> PooledTransport:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def open(self) -> None:
        """Do nothing: connections are made when they are needed."""

    def close(self) -> None:
        """Close the connections that are idle."""
        self._pool.close()

    def send(self, request: HttpRequest, **_options: Any) -> HttpResponse:
        """Send a request; the body of the answer is for the caller to read, unless it is a refusal.

        :raises ServiceRequestError: if it did not get there.
        :raises ServiceResponseError: if it may have got there, and no answer came.
        """
        try:
            raw = self._pool.urlopen(
                request.method,
                request.url[request.url.index("/", len("https://")) :],
                body=request.content,
                headers=request.headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
        except _NOT_SENT as error:
            raise ServiceRequestError(error, error=error) from error
        except HTTPError as error:
            raise ServiceResponseError(error, error=error) from error
        response = PooledResponse(request, raw)
        if response.status_code >= 300:
            response.read()  # the retries leave it where it is, with its connection
        return response


class Dated(SansIOHTTPPolicy[HttpRequest, HttpResponse]):
    """Says in each try when it was sent: the service refuses old requests that are signed with a key."""

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        """Set the header."""
        request.http_request.headers["x-ms-date"] = formatdate(usegmt=True)


class PooledResponse(HttpResponse):
    """An answer, as the SDK wants it.

    :param request: what was asked.
    :param raw: the answer; its body is still on the connection.
    """

    def __init__(self, request: HttpRequest, raw: BaseHTTPResponse) -> None:
        self._request = request
        self._raw = raw
        self._body: bytes | None = None
        self._encoding: str | None = None

    def __enter__(self) -> PooledResponse:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def request(self) -> HttpRequest:
        """What was asked."""
        return self._request

    @property
    def status_code(self) -> int:
        """Of HTTP."""
        return self._raw.status

    @property
    def headers(self) -> MutableMapping[str, str]:
        """By name, in any case."""
        return self._raw.headers

    @property
    def reason(self) -> str:
        """What the service calls the status."""
        return self._raw.reason or ""

    @property
    def content_type(self) -> str | None:
        """As the service says."""
        return self._raw.headers.get("Content-Type")

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be read any more."""
        return self._raw.closed

    @property
    def is_stream_consumed(self) -> bool:
        """Whether the body has been read."""
        return self._raw.closed

    @property
    def encoding(self) -> str | None:
        """Of the text; the service writes UTF-8."""
        return self._encoding or "utf-8"

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        self._encoding = value

    @property
    def url(self) -> str:
        """Where the answer is from."""
        return self._request.url

    @property
    def content(self) -> bytes:
        """The body."""
        return self.read()

    def text(self, encoding: str | None = None) -> str:
        """Return the body as text."""
        return self.read().decode(encoding or self.encoding or "utf-8", "replace").removeprefix("\ufeff")

    def json(self) -> Any:
        """Return the body, which is JSON."""
        return json.loads(self.text())

    def raise_for_status(self) -> None:
        """Raise an error for what is no success.

        :raises HttpResponseError: with what the service said.
        """
        if self.status_code >= 400:
            raise HttpResponseError(response=self)

    def close(self) -> None:
        """Give the connection back, or end it if something is left on it."""
        self._raw.close()

    def read(self) -> bytes:
        """Return the body, as it was sent.

        :raises ServiceResponseError: if it breaks off.
        """
        if self._body is None:
            self._body = b"".join(self.iter_raw())
        return self._body

    def iter_raw(self, **_options: Any) -> Iterator[bytes]:
        """Yield the body piece by piece, as it was sent.

        :raises ServiceResponseError: if it breaks off.
        """
        try:
            while piece := self._raw.read(PIECE):
                yield piece
        except HTTPError as error:
            raise ServiceResponseError(error, error=error) from error
        finally:
            self._raw.close()

    def iter_bytes(self, **options: Any) -> Iterator[bytes]:
        """Yield the body piece by piece; a stored blob that is compressed stays so."""
        return self.iter_raw(**options)
