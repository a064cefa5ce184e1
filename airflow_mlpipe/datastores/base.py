"""The duty of a datastore: five verbs for records, seven for data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from airflow_mlpipe.content import ContentSummary, Manifest
from airflow_mlpipe.content.remote import RemoteData
from airflow_mlpipe.storage import RecordStorage

Progress = Callable[[int], None]
"""Called with the number of bytes moved since the last call."""


class Datastore(RecordStorage, Protocol):
    """A named place for data (Azure ML's word), addressed by relative POSIX paths inside its root.

    Data paths obey the same rules as record keys: whatever would leave the root is refused with
    :class:`~airflow_mlpipe.errors.DataError` before anything is touched. A slash at the end is allowed, and ``""`` is
    the root, which can be read but not written or removed. Symbolic links that leave the root are refused.

    :ivar name: the name under which the workspace knows it.
    """

    name: str

    @abstractmethod
    def local_path(self, path: str) -> Path | None:
        """Return where the data lies on this machine, for direct access without a copy; ``None`` if it does not."""

    @abstractmethod
    def summary(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the content identity of a file or folder, ``None`` if nothing is there.

        Cheap when nothing changed (a digest cache may answer), never stale.

        :param include: only files whose relative path is in this list; ``None`` for all.
        """

    @abstractmethod
    def manifest(self, path: str, include: Sequence[str] | None = None) -> Manifest | None:
        """Return the full manifest of a file or folder, ``None`` if nothing is there."""

    def marker(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return an identity that costs no reading of bytes, ``None`` if nothing is there.

        For inputs with ``identity: stat`` or ``etag``. Its digest begins with ``stat:`` (names, sizes, times) or
        ``etag:`` (the store's own version marks), see :mod:`airflow_mlpipe.content.markers`; so it never equals a
        content digest. A store that has nothing cheaper gives its content identity.
        """
        return self.summary(path, include)

    @abstractmethod
    def download(
        self, path: str, to: Path, include: Sequence[str] | None = None, progress: Progress | None = None
    ) -> Manifest:
        """Copy a file or folder to a local path that does not exist yet, and return the manifest of what was written.

        :raises DataError: if nothing is there, or it changed while it was read. Nothing is left at ``to`` then.
        """

    @abstractmethod
    def upload(self, source: Path, path: str, progress: Progress | None = None) -> Manifest:
        """Copy a local file or folder to a path that nobody else uses, durably, and return its manifest.

        A file goes to ``path`` itself. If the same content is there already, that is a success: a caller who was cut
        off may simply ask again.

        :raises DataError: if nothing is at ``source``, it changes while it is read, or other content is at ``path``.
            Nothing that was there before is changed then.
        """

    @abstractmethod
    def remove(self, path: str) -> bool:
        """Delete a file or folder with all that is in it; False if nothing was there."""


@runtime_checkable
class NodeAccess(Protocol):
    """A datastore that a job's own machine can be let into, with rights that are limited to what it needs and in time.

    Both grants are ``None`` where our own credential cannot be split: the worker copies the data then.
    """

    def grant_read(self, path: str, include: Sequence[str] | None, seconds: float) -> RemoteData | None:
        """Return the right to read the files at a path, each in the version that is there now.

        :raises DataError: if nothing is there.
        """

    def grant_create(self, path: str, seconds: float, *, is_file: bool = False) -> RemoteData | None:
        """Return the right to create a file, or files in a folder, and no right to read or change any."""

    def adopt(self, path: str, left: Mapping[str, Sequence[int | str]]) -> Manifest:
        """Return the manifest of what a job has written, read once and compared with what the job says of it.

        :param left: relative path (empty for a single file) to size and SHA-256.
        :raises DataError: if it is not what the job left.
        """


@runtime_checkable
class KeepsAnyName(Protocol):
    """A datastore away from this machine that keeps every name that a file of Linux can have, byte for byte."""

    keeps_any_name: Literal[True]
