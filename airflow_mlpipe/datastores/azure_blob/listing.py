"""Which blobs there are.

The SDK makes an object of fifty attributes for each blob, which takes ten times as long as the list itself. So the
request goes through the SDK's own pipeline (credential, retries, timeouts, proxy) and its answer is taken as the
pipeline parsed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from airflow_mlpipe.datastores.azure_blob.container import Container
from airflow_mlpipe.datastores.azure_blob.names import to_path
from airflow_mlpipe.datastores.paths import OWN_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

FOLDER_MARK = "hdi_isfolder"
"""Metadata of an empty blob that stands for a folder: the mark that Azure's own tools use."""

DIGEST_MARK = "mlpipe_blake3"
UPLOAD_MARK = "mlpipe_upload"
_OWN = f"{OWN_FOLDER}/"
_PAGE = 5000


class Blob(NamedTuple):
    """One blob.

    :param path: in the datastore; ``None`` if no path of ours has its name.
    :param name: in the container.
    :param etag: changes with every write; without quotes.
    :param folder: it stands for a folder.
    :param digest, upload: what its metadata claims; to be believed only together with what we know ourselves.
    """

    path: str | None
    name: str
    size: int
    etag: str
    folder: bool
    digest: str
    upload: str

    @property
    def own(self) -> bool:
        """It belongs to the datastore itself."""
        return self.path is not None and self.path.startswith(_OWN)


def list_blobs(container: Container, folder: str, most: int | None = None) -> Iterator[Blob]:
    """Yield the blobs below a folder.

    An empty page may be followed by a full one: only a missing marker is the end.

    :param folder: path in the datastore, ``""`` for all.
    :param most: stop after so many.
    """
    start = container.name_of(folder)
    skip = len(container.settings.prefix and container.name_of("")) + 1 if container.settings.prefix else 0
    marker = ""
    left = most
    while True:
        page = _page(container, f"{start}/" if start else "", marker, min(left or _PAGE, _PAGE))
        for element in page.iterfind("Blobs/Blob"):
            yield _blob(element, skip)
            if left is not None:
                left -= 1
                if not left:
                    return
        marker = page.findtext("NextMarker") or ""
        if not marker:
            return


def marks_of(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return metadata with its names in lower case: some tools write ``Hdi_isfolder``."""
    return {name.lower(): text or "" for name, text in (metadata or {}).items()}


def plain_etag(etag: str | None) -> str:
    """Return an ETag as lists have it, without the quotes of the header."""
    return (etag or "").strip('"')


def _page(container: Container, prefix: str, marker: str, size: int) -> Element:
    from azure.core.exceptions import DecodeError, HttpResponseError  # noqa: PLC0415 - slow
    from azure.core.pipeline.policies import ContentDecodePolicy  # noqa: PLC0415
    from azure.core.rest import HttpRequest  # noqa: PLC0415

    client = container.client
    query = f"restype=container&comp=list&include=metadata&maxresults={size}&prefix={quote(prefix, safe='')}"
    url = f"{client.url.partition('?')[0]}?{query}" + (f"&marker={quote(marker, safe='')}" if marker else "")
    headers = {"x-ms-version": client.api_version, "Accept": "application/xml"}
    answer = client._pipeline.run(HttpRequest("GET", url, headers=headers), stream=False)  # noqa: SLF001 - no public way
    if answer.http_response.status_code != 200:
        raise HttpResponseError(response=answer.http_response)
    page: Element | None = answer.context.get(ContentDecodePolicy.CONTEXT_NAME)
    if page is None or page.tag != "EnumerationResults":
        raise DecodeError("The list of blobs is not what was expected", response=answer.http_response)
    return page


def _blob(element: Element, skip: int) -> Blob:
    named = element.find("Name")
    name = "" if named is None else named.text or ""
    if named is not None and named.get("Encoded") == "true":
        name = unquote(name)
    properties = element.find("Properties")
    size, etag, kind = 0, "", ""
    if properties is not None:
        size = int(properties.findtext("Content-Length") or 0)
        etag = plain_etag(properties.findtext("Etag"))
        kind = properties.findtext("ResourceType") or ""
    metadata = element.find("Metadata")
    marks = {} if metadata is None else {item.tag.lower(): item.text or "" for item in metadata}
    folder = kind == "directory" or (size == 0 and marks.get(FOLDER_MARK) == "true")
    return Blob(to_path(name[skip:]), name, size, etag, folder, marks.get(DIGEST_MARK, ""), marks.get(UPLOAD_MARK, ""))
