"""From this machine to a server: built under a name of our own, verified, and only then given its place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from blake3 import blake3

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.content.walk import FileStat, Tree, walk
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.datastores.lanes import Lanes, counted
from airflow_mlpipe.datastores.paths import data_segments
from airflow_mlpipe.datastores.sftp.reader import PART, THREADS, Reader
from airflow_mlpipe.datastores.staging import renamed, taken
from airflow_mlpipe.errors import DataError, StoreError

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class Upload:
    """Copies local files and folders to a server.

    :param reader: of the datastore that they go to.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._server = reader.server

    def run(self, source: Path, path: str, progress: Progress | None) -> Manifest:
        """Copy a file or folder to a path that nobody else uses, and return its manifest.

        :param path: plain segments, at least one.
        :raises DataError: as :meth:`~airflow_mlpipe.datastores.base.Datastore.upload`.
        """
        tree = walk(source)
        if tree is None:
            raise DataError(f"There is nothing at {source} to upload.")
        for file in tree.files if tree.kind == "folder" else ():
            data_segments(f"{path}/{file.path}")
        parent, _, name = path.rpartition("/")
        self._server.contained(parent)
        if self._server.stat(path) is not None:
            return self._same(source, path)
        with self._server.staged() as staged:
            manifest = self._send_all(tree, staged, counted(progress))
            if walk(source) != tree:
                raise _changed(str(source))
            self._server.make_folders(parent)
            self._put(staged, path)
        return renamed(manifest, name)

    def _same(self, source: Path, path: str) -> Manifest:
        """Return what is there already if it is what was to be written."""
        seen, here = self._reader.look(path), scan(source)
        if seen is None or here is None or seen.kind != here.kind:
            raise self._taken(path)
        there = self._reader.manifest(seen)
        if there.summary != here.summary:
            raise self._taken(path)
        return there

    def _send_all(self, tree: Tree, staged: str, count: Progress) -> Manifest:
        folder = tree.kind == "folder"
        folders = sorted({*tree.empty_folders, *(file.path.rpartition("/")[0] for file in tree.files)} - {""})
        if folder:
            self._server.make_folders(staged)
            for inner in folders:
                self._server.make_folders(f"{staged}/{inner}")
        with Lanes(THREADS, THREADS * PART) as lanes:
            running: dict[str, Future[str]] = {}
            for file in tree.files:
                lanes.reserve(PART)
                place = f"{staged}/{file.path}" if folder else staged
                running[file.path] = lanes.submit(PART, self._send, tree.locate(file.path), file, place, count)
        for inner in (*folders, "") if folder else ():
            self._server.sync_folder(f"{staged}/{inner}".rstrip("/"))
        return tree.manifest(FileEntry(file.path, file.size, running[file.path].result()) for file in tree.files)

    def _send(self, source: str, file: FileStat, place: str, count: Progress) -> str:
        """Write one file durably and return the digest of its bytes."""
        hasher, offset = blake3(), 0
        self._server.create_file(place)
        for data in _parts(source, file):
            hasher.update(data)
            self._server.write_part(place, offset, data)
            offset += len(data)
            count(len(data))
        size = self._server.sync_file(place).size
        if offset != file.size:
            raise _changed(file.path)
        if size != file.size:
            raise StoreError(f"{file.path!r} has {file.size} bytes, but {size} arrived at {self._server.shown}.")
        return f"blake3:{hasher.hexdigest()}"

    def _put(self, staged: str, path: str) -> None:
        """Give a finished copy its name, unless that is taken, and make the name durable."""
        source, place = self._server.place(staged), self._server.place(path)
        try:
            self._server.do("written", path, lambda client: client.rename(source, place))
        except StoreError:
            if self._server.stat(path) is not None and self._server.stat(staged) is not None:
                raise self._taken(path) from None
            raise
        self._server.sync_folder(path.rpartition("/")[0])

    def _taken(self, path: str) -> DataError:
        return taken(f"{path!r} in {self._server.shown}")


def _parts(source: str, file: FileStat) -> Iterator[bytes]:
    """Yield the bytes of a local file as it was when the tree was walked.

    :raises DataError: if it is another one now.
    """
    try:
        opened = os.open(source, _READ)
    except OSError as error:
        raise DataError(f"{file.path!r} cannot be read: {error.strerror}. Check that this user may read it.") from error
    with os.fdopen(opened, "rb") as stream:
        if FileStat.of(file.path, os.fstat(opened)) != file:
            raise _changed(file.path)
        while data := stream.read(PART):
            yield data
        if FileStat.of(file.path, os.fstat(opened)) != file:
            raise _changed(file.path)


def _changed(shown: str) -> DataError:
    return DataError(f"{shown!r} changed while it was copied. Wait until nobody writes to it, then try again.")
