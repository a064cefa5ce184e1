"""What records need from a place to keep them: five verbs.

Reuse records, run records and the registries are small JSON documents. They are kept by anything that has these five
verbs. Every datastore has them, so no database is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable
from urllib.parse import quote, unquote

from blake3 import blake3

from airflow_mlpipe.errors import StoreError

_MAX_SEGMENT = 200
_SEAL = len(b'{"checksum":"blake3:","record":') + 64


def segment(text: str) -> str:
    """Return any id (pipeline, run id, task id, asset name) as one safe segment of a record key; reversible.

    :raises StoreError: if it is empty or too long for a file name.
    """
    name = quote(text, safe="").replace("~", "%7E")
    if name.strip(".") == "":
        name = name.replace(".", "%2E")
    if not 0 < len(name) <= _MAX_SEGMENT:
        raise StoreError(
            f"The name {text[:40]!r}... cannot be kept: allowed are 1 to {_MAX_SEGMENT} characters. Use a shorter one."
        )
    return name


def from_segment(name: str) -> str:
    """Return the id that :func:`segment` was given."""
    return unquote(name)


def seal(body: bytes) -> bytes:
    """Return a JSON document with its own checksum around it; still one JSON document."""
    return b'{"checksum":"blake3:%b","record":%b}' % (blake3(body).hexdigest().encode(), body)


def unseal(data: bytes) -> bytes:
    """Return the JSON document that :func:`seal` was given.

    A disk or a person may have changed a digit that no schema would miss; the checksum does.

    :raises ValueError: if a single bit of it has changed.
    """
    body = data[_SEAL:-1]
    if seal(body) != data:
        raise ValueError("it does not match its checksum")
    return body


@runtime_checkable
class RecordStorage(Protocol):
    """A flat, durable map from keys to small byte strings.

    A key is a relative POSIX path of plain segments (``reuse/ab/abcd.json``): no empty segment, no ``.`` or ``..``, no
    leading slash; anything else raises :class:`~airflow_mlpipe.errors.StoreError`. A value is visible whole or
    not at all.
    """

    def read(self, key: str) -> bytes | None:
        """Return the value, or ``None`` if there is none."""

    def create(self, key: str, data: bytes) -> bool:
        """Store the value only if the key is free; exactly one of many racing callers wins.

        :returns: True if the stored value is now ``data``. A caller whose reply got lost and who asks again with the
            same bytes gets True, so callers that must tell themselves from others put a nonce into the bytes.
        """

    def replace(self, key: str, data: bytes) -> None:
        """Store the value, whatever was there before; readers see the old or the new one, never a mix."""

    def delete(self, key: str) -> bool:
        """Remove the value; False if there was none."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield, sorted, every key that begins with ``prefix`` (a folder name ending in ``/``, or ``""``)."""


@runtime_checkable
class BatchStorage(RecordStorage, Protocol):
    """A place that stores many records for less than one by one."""

    def replace_all(self, records: Mapping[str, bytes]) -> None:
        """Store every value as :meth:`replace` does; when it returns, all are durable. They do not appear together."""


def replace_all(storage: RecordStorage, records: Mapping[str, bytes]) -> None:
    """Store many values, whatever was there before, by the quickest way that the place has."""
    if isinstance(storage, BatchStorage):
        storage.replace_all(records)
        return
    for key, data in records.items():
        storage.replace(key, data)
