"""Requests through the pipeline of the SDK's own client, without the objects that it makes around each of them.

Credential, retries, timeouts, proxy and the check of what was sent are the pipeline's. For a small blob the objects
around it cost half as much again, see ``docs/decisions/130-requests-in-the-pipeline.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from airflow_mlpipe.datastores.azure_blob.container import Container

if TYPE_CHECKING:
    from azure.core.rest import HttpResponse

_READS = 4
_PAUSE = 1.0
"""Seconds before a body is asked for again that broke off."""


class Answer(NamedTuple):
    """What the service said.

    :param headers: by name, in any case.
    :param body: all of it, as it is stored.
    """

    headers: Mapping[str, str]
    body: bytes


def ask(container: Container, query: str) -> Answer:
    """Send a GET to the container itself.

    :param query: parameters of the URL, quoted.
    :raises AzureError: as the SDK does.
    """
    return _whole(lambda: _send(container, "GET", f"?{query}", {}))


def read_range(container: Container, name: str, etag: str, offset: int, size: int) -> bytes:
    """Return a part of one version of a blob, as many bytes of it as arrive.

    :param name: in the container.
    :param size: bytes, at least one.
    :raises AzureError: as the SDK does; ``ResourceModifiedError`` if it is another version now.
    """
    headers = {"x-ms-range": f"bytes={offset}-{offset + size - 1}", "If-Match": f'"{etag}"'}
    return _whole(lambda: _send(container, "GET", _place(name), headers)).body


def put_new(container: Container, name: str, data: bytes, metadata: Mapping[str, str]) -> str:
    """Make a blob that is not there yet, by one request that the service checks; return its ETag.

    :raises AzureError: as the SDK does; ``ResourceExistsError`` if it is there.
    """
    headers = {
        "x-ms-blob-type": "BlockBlob",
        "Content-Type": "application/octet-stream",
        "If-None-Match": "*",
        **{f"x-ms-meta-{key}": text for key, text in metadata.items()},
    }
    response = _send(container, "PUT", _place(name), headers, data)
    return str(response.headers.get("ETag") or "")


def _place(name: str) -> str:
    return f"/{quote(name, safe='~/')}"


def _send(
    container: Container, method: str, place: str, headers: Mapping[str, str], content: bytes | None = None
) -> HttpResponse:
    from azure.core.exceptions import (  # noqa: PLC0415 - slow, as all of Azure
        HttpResponseError,
        ResourceExistsError,
        ResourceModifiedError,
        ResourceNotFoundError,
        map_error,
    )
    from azure.core.rest import HttpRequest  # noqa: PLC0415

    client = container.client
    request = HttpRequest(
        method,
        f"{client.url.partition('?')[0]}{place}",
        headers={"x-ms-version": client.api_version, "Accept": "application/xml", **headers},
        content=content,
    )
    sends = content is not None
    ran = client._pipeline.run(request, stream=not sends, validate_content=sends)  # noqa: SLF001 - no public way
    response: HttpResponse = ran.http_response
    if response.status_code >= 300:
        response.read()
        known = {404: ResourceNotFoundError, 409: ResourceExistsError, 412: ResourceModifiedError}
        map_error(response.status_code, response, known)
        raise HttpResponseError(response=response)
    return response


def _whole(send: Callable[[], HttpResponse]) -> Answer:
    """Read the body of an answer; ask again if it breaks off, which is too late for the pipeline's own retries."""
    from azure.core.exceptions import IncompleteReadError, ServiceResponseError  # noqa: PLC0415 - slow

    for turn in range(_READS):
        response = send()
        try:
            return Answer(response.headers, b"".join(response.iter_raw()))  # a compressed blob stays compressed
        except (IncompleteReadError, ServiceResponseError):
            if turn == _READS - 1:
                raise
        time.sleep(_PAUSE)
    raise AssertionError
