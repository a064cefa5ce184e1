"""What records need from a place to keep them: five verbs.

Reuse records, run records and the registries are small JSON documents. They are kept by anything that has these five
verbs. Every datastore has them, so no database is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable


@runtime_checkable
class RecordStorage(Protocol):
    """A flat, durable map from keys to small byte strings.

    A key is a relative POSIX path of plain segments (``reuse/ab/abcd.json``): no empty segment, no ``.`` or ``..``, no
    leading slash; anything else raises :class:`~airflow_mlpipe.errors.StoreError`. A value is visible whole or not at all.
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
