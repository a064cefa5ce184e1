"""Which blobs there are.

The SDK makes an object of fifty attributes for each blob, which takes ten times as long as the list itself. So the
request goes through the SDK's own pipeline (credential, retries, timeouts, proxy), the answer is parsed here, and the
service makes the next page meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote
from xml.sax.saxutils import unescape

from airflow_mlpipe.datastores.azure_blob.container import Container
from airflow_mlpipe.datastores.azure_blob.names import to_path
from airflow_mlpipe.datastores.azure_blob.wire import ask
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
_NEXT = re.compile(rb"<NextMarker>([^<]+)</NextMarker>")


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

    :param folder: path in the datastore, ``""`` for all.
    :param most: stop after so many.
    """
    if most is None:
        for page in list_pages(container, folder):
            yield from page
    else:
        prefix, skip = _range(container, folder)
        yield from islice(_some(container, prefix, skip, most), most)


def list_pages(container: Container, folder: str) -> Iterator[list[Blob]]:
    """Yield the blobs below a folder, those of one answer of the service together.

    An empty page may be followed by a full one: only a missing marker is the end.

    :param folder: path in the datastore, ``""`` for all.
    """
    prefix, skip = _range(container, folder)
    for page in _pages(container, prefix):
        yield [_blob(element, skip) for element in page.iterfind("Blobs/Blob")]


def _range(container: Container, folder: str) -> tuple[str, int]:
    """Return what the names of a folder's blobs begin with, and how much of it is the datastore's own prefix."""
    start = container.name_of(folder)
    skip = len(container.name_of("")) + 1 if container.settings.prefix else 0
    return f"{start}/" if start else "", skip


def _some(container: Container, prefix: str, skip: int, size: int) -> Iterator[Blob]:
    marker = ""
    while True:
        body = _body(container, prefix, marker, size)
        yield from [_blob(element, skip) for element in _parsed(body).iterfind("Blobs/Blob")]
        marker = _marker(body)
        if not marker:
            return


def _pages(container: Container, prefix: str) -> Iterator[Element]:
    """Yield all pages; while one is read, the service makes the next one."""
    body = _body(container, prefix, "", _PAGE)
    with ThreadPoolExecutor(1, thread_name_prefix="mlpipe-list") as pool:
        while True:
            marker = _marker(body)
            following = pool.submit(_body, container, prefix, marker, _PAGE) if marker else None
            yield _parsed(body)
            if following is None:
                return
            body = following.result()


def marks_of(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return metadata with its names in lower case: some tools write ``Hdi_isfolder``."""
    return {name.lower(): text or "" for name, text in (metadata or {}).items()}


def plain_etag(etag: str | None) -> str:
    """Return an ETag as lists have it, without the quotes of the header."""
    return (etag or "").strip('"')


def _body(container: Container, prefix: str, marker: str, size: int) -> bytes:
    query = f"restype=container&comp=list&include=metadata&maxresults={size}&prefix={quote(prefix, safe='')}"
    return ask(container, query + (f"&marker={quote(marker, safe='')}" if marker else ""))


def _marker(body: bytes) -> str:
    """Return where the next page begins, empty after the last one; found without parsing, which takes its time."""
    found = _NEXT.search(body, max(0, body.rfind(b"</Blobs>")))
    return unescape(found[1].decode()) if found else ""


def _parsed(body: bytes) -> Element:
    from xml.etree.ElementTree import ParseError, fromstring  # noqa: PLC0415 - only here

    from azure.core.exceptions import DecodeError  # noqa: PLC0415 - slow

    try:
        page = fromstring(body)  # noqa: S314 - the account's own answer, which the SDK parses no other way
    except ParseError as error:
        raise DecodeError(f"The list of blobs cannot be read: {error}") from error
    if page.tag != "EnumerationResults":
        raise DecodeError("The list of blobs is not what was expected")
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
