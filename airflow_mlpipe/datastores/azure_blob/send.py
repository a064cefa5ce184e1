"""One file to one blob: the bytes are hashed as they are read, and every request is checked by the service."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from airflow_mlpipe.content.walk import FileStat, Tree
from airflow_mlpipe.datastores.azure_blob.container import BLOCK, Container
from airflow_mlpipe.datastores.azure_blob.etags import Known
from airflow_mlpipe.datastores.azure_blob.listing import DIGEST_MARK, FOLDER_MARK, UPLOAD_MARK, marks_of, plain_etag
from airflow_mlpipe.datastores.azure_blob.wire import put_new
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.datastores.lanes import Lanes
from airflow_mlpipe.datastores.staging import taken
from airflow_mlpipe.errors import DataError, StoreError

if TYPE_CHECKING:
    from concurrent.futures import Future

_SINGLE = 4 << 20
_MOST_BLOCKS = 50_000
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
Done = Callable[[], tuple[str, Known]]
"""Waits for a blob to be there; returns its name and what is known of it."""


class Sender:
    """Sends files of one upload.

    Small files go in one request, larger ones in blocks that become visible together. No blob that exists is ever
    overwritten.

    :param container: where to.
    :param lanes: run the requests.
    :param upload: name of the upload, kept in the metadata.
    :param count: takes the number of bytes that have been sent.
    """

    def __init__(self, container: Container, lanes: Lanes, upload: str, count: Progress) -> None:
        self._container = container
        self._lanes = lanes
        self._upload = upload
        self._count = count

    def send(self, tree: Tree, file: FileStat, path: str) -> Done:
        """Begin to send a file; small ones are on their way when this returns, of large ones all but the last step.

        :raises DataError: if the file is not what the walk saw, or something is at the path.
        """
        if file.size <= _SINGLE:
            self._lanes.reserve(2 * file.size)
            return self._lanes.submit(2 * file.size, self._small, tree, file, path).result
        return self._large(tree, file, path)

    def _small(self, tree: Tree, file: FileStat, path: str) -> tuple[str, Known]:
        with _Source(tree, file) as source:
            data = source.read(file.size)
        digest = f"blake3:{blake3(data).hexdigest()}"

        def put() -> str:
            return put_new(self._container, self._container.name_of(path), data, self._marks(digest))

        known = self._created(path, put, file.size, digest)
        self._count(file.size)
        return known

    def _large(self, tree: Tree, file: FileStat, path: str) -> Done:
        block = max(BLOCK, -(-file.size // _MOST_BLOCKS))
        hasher = blake3()
        staged: dict[str, Future[None]] = {}
        with _Source(tree, file) as source:
            for offset in range(0, file.size, block):
                size = min(block, file.size - offset)
                self._lanes.reserve(size)
                data = source.read(size)
                hasher.update(data)
                name = b64encode(f"{self._upload}-{len(staged):08d}".encode()).decode()
                staged[name] = self._lanes.submit(size, self._stage, path, name, data)
        digest = f"blake3:{hasher.hexdigest()}"
        return lambda: self._commit(path, staged, file.size, digest)

    def _stage(self, path: str, name: str, data: bytes) -> None:
        with self._container.errors("written", path):
            self._container.blob(path).stage_block(name, data, length=len(data), validate_content=True)
        self._count(len(data))

    def _commit(self, path: str, staged: dict[str, Future[None]], size: int, digest: str) -> tuple[str, Known]:
        """Make the blocks visible as one blob, and look whether all of it is there."""
        from azure.core import MatchConditions  # noqa: PLC0415 - slow
        from azure.storage.blob import BlobBlock  # noqa: PLC0415

        for future in staged.values():
            future.result()
        blob = self._container.blob(path)

        def put() -> str:
            answer: dict[str, Any] = blob.commit_block_list(
                [BlobBlock(name) for name in staged],
                metadata=self._marks(digest),
                match_condition=MatchConditions.IfMissing,
                validate_content=True,
            )
            return str(answer["etag"])

        known = self._created(path, put, size, digest)
        with self._container.errors("written", path):
            found = blob.get_blob_properties()
        if (plain_etag(found.etag), found.size) != known[1][:2]:
            raise StoreError(f"{path!r} has {found.size} bytes in the container instead of {size}. Try again.")
        return known

    def _created(self, path: str, put: Callable[[], str], size: int, digest: str) -> tuple[str, Known]:
        """Make a blob that is not there yet; one that is there is ours if the answer to its making was lost."""
        from azure.core.exceptions import ResourceExistsError, ResourceModifiedError  # noqa: PLC0415 - slow

        with self._container.errors("written", path):
            try:
                etag = put()
            except (ResourceExistsError, ResourceModifiedError):
                found = self._container.blob(path).get_blob_properties()
                marks = marks_of(found.metadata)
                ours = (marks.get(UPLOAD_MARK), marks.get(DIGEST_MARK), found.size) == (self._upload, digest, size)
                if not ours:
                    raise taken(f"{path!r} in {self._container.shown}") from None
                etag = found.etag
        return self._container.name_of(path), (plain_etag(etag), size, digest)

    def _marks(self, digest: str) -> dict[str, str]:
        return {DIGEST_MARK: digest, UPLOAD_MARK: self._upload}


def put_mark(container: Container, path: str, upload: str) -> None:
    """Make the blob that stands for an empty folder."""
    with container.errors("written", path):
        container.blob(path).upload_blob(b"", overwrite=True, metadata={FOLDER_MARK: "true", UPLOAD_MARK: upload})


class _Source:
    """A file that is read from its begin to its end, and has to stay what the walk saw."""

    def __init__(self, tree: Tree, file: FileStat) -> None:
        self._file = file
        self._place = tree.locate(file.path)
        self._reader = -1

    def __enter__(self) -> _Source:
        try:
            self._reader = os.open(self._place, _READ)
        except FileNotFoundError:
            raise self._changed() from None
        except OSError as error:
            raise DataError(
                f"{self._place!r} cannot be read: {error.strerror}. Check that this user may read it."
            ) from None
        self._check()
        return self

    def __exit__(self, kind: object, _error: object, _trace: object) -> None:
        try:
            if kind is None:
                self._check()
        finally:
            os.close(self._reader)

    def read(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        pieces: list[bytes] = []
        left = size
        while left:
            piece = os.read(self._reader, left)
            if not piece:
                raise self._changed()
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _check(self) -> None:
        if FileStat.of(self._file.path, os.fstat(self._reader)) != self._file:
            raise self._changed()

    def _changed(self) -> DataError:
        return DataError(
            f"{self._file.path!r} changed while it was copied. Wait until nobody writes to it, then try again."
        )
