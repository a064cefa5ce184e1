"""The five record verbs on blobs: each record is one blob, written by one request."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_mlpipe.datastores.azure_blob.container import Container
from airflow_mlpipe.datastores.azure_blob.listing import FOLDER_MARK, list_blobs, marks_of
from airflow_mlpipe.datastores.azure_blob.names import name_fault
from airflow_mlpipe.datastores.paths import folder_prefix, record_segments
from airflow_mlpipe.errors import StoreError

_TURNS = 4
_LARGEST = 64 << 20


class BlobRecords:
    """Records in a container, see :class:`~airflow_mlpipe.storage.RecordStorage`.

    Blob storage is flat: a record and records "below" it can exist side by side, unless the account has a hierarchical
    namespace, which refuses that.

    :param container: where they lie.
    """

    def __init__(self, container: Container) -> None:
        self._container = container

    def read(self, key: str) -> bytes | None:
        """Return the value, or ``None`` if there is none."""
        record_segments(key)
        return read_blob(self._container, key)

    def create(self, key: str, data: bytes) -> bool:
        """Store the value only if the key is free; True if the stored value is now ``data``.

        The SDK repeats a request whose answer was lost, and the repetition finds our own record: so what is there is
        read and compared.
        """
        self._check(key, data)
        return create_blob(self._container, key, data)

    def replace(self, key: str, data: bytes) -> None:
        """Store the value, whatever was there before."""
        self._check(key, data)
        replace_blob(self._container, key, data)

    def delete(self, key: str) -> bool:
        """Remove the value; False if there was none."""
        record_segments(key)
        return delete_blob(self._container, key)

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield, sorted, every key that begins with ``prefix``."""
        folder = "/".join(folder_prefix(prefix))
        with self._container.errors("listed", folder):
            found = list(list_blobs(self._container, folder))
        yield from sorted(blob.path for blob in found if blob.path and not blob.folder and not blob.own)

    def _check(self, key: str, data: bytes) -> None:
        record_segments(key)
        fault = name_fault(self._container.name_of(key))
        if fault:
            raise StoreError(f"The record key {key[:80]!r} is not allowed: {fault}. Use shorter names.")
        if len(data) > _LARGEST:
            raise StoreError(f"The record {key!r} has {len(data)} bytes, at most {_LARGEST} can be kept.")


def read_blob(container: Container, path: str) -> bytes | None:
    """Return the bytes of a small blob, ``None`` if there is none or it stands for a folder."""
    from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - slow

    with container.errors("read", path):
        try:
            stream = container.blob(path).download_blob(max_concurrency=1, decompress=False)
            data = bytes(stream.readall())
        except ResourceNotFoundError as error:
            if getattr(error, "error_code", "") == "ContainerNotFound":
                raise
            return None
        size = stream.properties.size
    if size != len(data):
        raise StoreError(f"{path!r} has {size} bytes but {len(data)} arrived. Try again.")
    return None if not data and marks_of(stream.properties.metadata).get(FOLDER_MARK) == "true" else data


def create_blob(container: Container, path: str, data: bytes) -> bool:
    """Put a small blob if there is none; True if what is there now is ``data``."""
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError  # noqa: PLC0415 - slow

    for _ in range(_TURNS):
        with container.errors("written", path):
            try:
                container.blob(path).upload_blob(data, overwrite=False, validate_content=True)
            except (ResourceExistsError, ResourceModifiedError) as error:
                if getattr(error, "error_code", "") not in ("BlobAlreadyExists", "ConditionNotMet"):
                    raise
            else:
                return True
        there = read_blob(container, path)
        if there is not None:
            return there == data
    raise StoreError(f"{path!r} cannot be written: a folder is where a file is needed; move it away.")


def replace_blob(container: Container, path: str, data: bytes) -> None:
    """Put a small blob in place of what is there."""
    with container.errors("written", path):
        container.blob(path).upload_blob(data, overwrite=True, validate_content=True)


def delete_blob(container: Container, path: str) -> bool:
    """Delete a blob and its snapshots; False if there is none."""
    from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - slow

    with container.errors("deleted", path):
        try:
            container.blob(path).delete_blob(delete_snapshots="include")
        except ResourceNotFoundError as error:
            if getattr(error, "error_code", "") == "ContainerNotFound":
                raise
            return False
    return True
