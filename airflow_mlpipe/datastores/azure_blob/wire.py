"""Requests with as little around them as they need: the list, parts of blobs, small new blobs.

Credential and retries are the SDK's, in a pipeline of the SDK's core over the connections of the SDK's transport. What
is left out makes objects that nobody looks at here, and costs more than the request itself, see
``docs/decisions/230-connections-without-objects-around-them.md``.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import md5
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_mlpipe.datastores.azure_blob.container import Container

if TYPE_CHECKING:
    from azure.core.rest import HttpResponse

_READS = 4
_PAUSE = 1.0
"""Seconds before a body is asked for again that broke off."""


def ask(container: Container, query: str) -> bytes:
    """Send a GET to the container itself and return the answer; asked again if its body breaks off.

    :param query: parameters of the URL, quoted.
    :raises AzureError: as the SDK does.
    """
    from azure.core.exceptions import ServiceResponseError  # noqa: PLC0415 - slow

    for _ in range(_READS - 1):
        response = _send(container, "GET", f"?{query}", {})
        try:
            return response.read()
        except ServiceResponseError:
            time.sleep(_PAUSE)
    return _send(container, "GET", f"?{query}", {}).read()


def read_range(container: Container, name: str, etag: str, offset: int, size: int) -> Iterator[bytes]:
    """Yield a part of one version of a blob, piece by piece, as it is stored, as many bytes of it as arrive.

    A body that breaks off is asked for again from where it broke, which is too late for the pipeline's own retries.

    :param name: in the container.
    :param size: bytes, at least one.
    :raises AzureError: as the SDK does; ``ResourceModifiedError`` if it is another version now.
    """
    from azure.core.exceptions import ResourceModifiedError, ServiceResponseError  # noqa: PLC0415 - slow

    end, breaks = offset + size, 0
    while True:
        headers = {"x-ms-range": f"bytes={offset}-{end - 1}", "If-Match": f'"{etag}"'}
        response = _send(container, "GET", _place(name), headers)
        if (response.headers.get("ETag") or "").strip('"') != etag:
            response.close()
            raise ResourceModifiedError("The service did not heed the condition of the request.", response)
        try:
            for piece in response.iter_raw():
                offset += len(piece)
                yield piece
        except ServiceResponseError:
            breaks += 1
            if breaks == _READS:
                raise
        else:
            return
        time.sleep(_PAUSE)


def put_new(container: Container, name: str, data: bytes, metadata: Mapping[str, str]) -> str:
    """Make a blob that is not there yet, by one request that the service checks; return its ETag.

    :raises AzureError: as the SDK does; ``ResourceExistsError`` if it is there.
    """
    headers = {
        "x-ms-blob-type": "BlockBlob",
        "Content-Type": "application/octet-stream",
        "Content-MD5": b64encode(md5(data, usedforsecurity=False).digest()).decode(),
        "If-None-Match": "*",
        **{f"x-ms-meta-{key}": text for key, text in metadata.items()},
    }
    response = _send(container, "PUT", _place(name), headers, data)
    response.read()
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

    request = HttpRequest(
        method,
        f"{container.identity}{place}",
        headers={**container.headers, **headers},
        content=content,
    )
    response: HttpResponse = container.pipeline.run(request).http_response
    if response.status_code >= 300:
        known = {404: ResourceNotFoundError, 409: ResourceExistsError, 412: ResourceModifiedError}
        map_error(response.status_code, response, known)
        raise HttpResponseError(response=response)
    return response
