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
    with container.errors("read", blob.path or ""), unchanged(blob):
        data = wire.read_range(container, blob.name, blob.etag, offset, size)
    if len(data) != size:
        raise DataError(f"{len(data)} of {size} bytes of {blob.path!r} arrived. Try again.")
    return data
