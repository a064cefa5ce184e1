"""Bytes of a blob, all of one version of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_mlpipe.datastores.azure_blob import wire
from airflow_mlpipe.datastores.azure_blob.container import Container
from airflow_mlpipe.datastores.azure_blob.listing import Blob
from airflow_mlpipe.errors import DataError


@contextmanager
def unchanged(blob: Blob) -> Iterator[None]:
    """Turn the refusal to read another version of a blob into an error in plain words."""
    from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError  # noqa: PLC0415 - slow

    try:
        yield
    except (ResourceModifiedError, ResourceNotFoundError):
        raise DataError(
            f"{blob.path!r} changed while it was read. Wait until nobody writes to it, then try again."
        ) from None


def fetch(container: Container, blob: Blob, offset: int, size: int) -> bytes:
    """Return a part of a blob.

    :raises DataError: if it is another version now, or bytes are missing.
    """
    return b"".join(piece for _, piece in fetch_pieces(container, blob, offset, size))


def fetch_pieces(container: Container, blob: Blob, offset: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield a part of a blob as it arrives, each piece with its offset in the blob.

    :raises DataError: if it is another version now, or there are not exactly so many bytes.
    """
    end = position = offset
    end += size
    with container.errors("read", blob.path or ""), unchanged(blob):
        for piece in wire.read_range(container, blob.name, blob.etag, offset, size):
            if position + len(piece) > end:
                break
            yield position, piece
            position += len(piece)
    if position != end:
        raise DataError(f"{position - offset} of {size} bytes of {blob.path!r} arrived. Try again.")
