"""Verified, durable copies of files and folders between two places of this machine.

The copy is built at a temporary place; its files are synced; the source is looked at again; only then does it get its
name. So a copy is there whole or not at all, and holds the source as it was at one moment. Links inside a tree are
followed, links out of it refused (see :mod:`airflow_mlpipe.content.walk`); times, owners and modes are not kept.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from blake3 import blake3

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.content.digest import hash_file
from airflow_mlpipe.content.walk import FileStat, Tree, walk
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.errors import DataError

_SMALL = 1 << 20
_BLOCK = 32 << 20
_SYNCS_AT_ONCE = 16
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_KERNEL_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EBADF})


def copy_tree(
    source: Tree, to: Path, include: Sequence[str] | None = None, progress: Progress | None = None
) -> Manifest:
    """Copy a tree to a place that is free, durably, and return the manifest of what was written.

    What is at ``to`` after an error is for the caller to remove.

    :param source: what :func:`~airflow_mlpipe.content.walk.walk` found.
    :param include: what it was asked for.
    :raises DataError: if the source changes while it is copied.
    :raises OSError: if the copy cannot be written.
    """
    if source.kind == "folder":
        to.mkdir()
        for folder in sorted(_folders(source)):
            (to / folder).mkdir(parents=True, exist_ok=True)
    written = [to / file.path if source.kind == "folder" else to for file in source.files]
    digests = [_copy_file(source, file, place, progress) for file, place in zip(source.files, written, strict=True)]
    sync_all(written)
    sync_all({to, *(to / name for name in _folders(source))} if source.kind == "folder" else ())
    again = walk(source.root, include)
    if again is None or (again.files, again.empty_folders, again.kind) != (
        source.files,
        source.empty_folders,
        source.kind,
    ):
        raise _changed(source.root)
    return source.manifest(
        FileEntry(file.path, file.size, digest) for file, digest in zip(source.files, digests, strict=True)
    )


def discard(place: Path) -> None:
    """Remove what lies at a temporary place, if anything does."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _folders(tree: Tree) -> set[str]:
    """Return the relative paths of all folders that hold a file, and of the empty ones."""
    return {*tree.empty_folders, *(file.path.rpartition("/")[0] for file in tree.files if "/" in file.path)}


def _copy_file(tree: Tree, file: FileStat, to: Path, progress: Progress | None) -> str:
    """Copy a file and return the digest of the bytes that were written."""
    try:
        reader = os.open(tree.locate(file.path), _READ)
    except FileNotFoundError as error:
        raise _changed(file.path) from error
    except OSError as error:
        raise DataError(f"{file.path!r} cannot be read: {error.strerror}. Check that this user may read it.") from error
    try:
        if FileStat.of(file.path, os.fstat(reader)) != file:
            raise _changed(file.path)
        writer = os.open(to, _WRITE, 0o666)
        try:
            digest = (
                _small(reader, writer, file, progress) if file.size < _SMALL else _large(reader, writer, file, progress)
            )
        finally:
            os.close(writer)
        if FileStat.of(file.path, os.fstat(reader)) != file:
            raise _changed(file.path)
    finally:
        os.close(reader)
    return digest or hash_file(to)


def _small(reader: int, writer: int, file: FileStat, progress: Progress | None) -> str:
    data = os.read(reader, file.size + 1)
    if len(data) != file.size:
        raise _changed(file.path)
    _write_all(writer, data)
    if progress and data:
        progress(len(data))
    return f"blake3:{blake3(data).hexdigest()}"


def _large(reader: int, writer: int, file: FileStat, progress: Progress | None) -> str:
    """Let the kernel copy (it shares the blocks where the file system can); the digest is taken from the copy later."""
    total = 0
    while count := _move(reader, writer, total):
        total += count
        if progress:
            progress(count)
    if total != file.size:
        raise _changed(file.path)
    return ""


def _move(reader: int, writer: int, offset: int) -> int:
    try:
        count = os.copy_file_range(reader, writer, _BLOCK, offset, offset)
    except OSError as error:
        if error.errno not in _NO_KERNEL_COPY:
            raise
        data = os.pread(reader, _BLOCK, offset)
        os.lseek(writer, offset, os.SEEK_SET)
        _write_all(writer, data)
        count = len(data)
    return count


def _write_all(writer: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(writer, view) :]


def sync_all(files: Iterable[Path]) -> None:
    """Sync files, several at once: the disk then commits them together (a third of the time)."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - slow to import, and most processes copy nothing

    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        for _ in pool.map(_sync_one, files):
            pass


def _sync_one(place: Path) -> None:
    opened = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _changed(shown: str) -> DataError:
    return DataError(f"{shown!r} changed while it was copied. Wait until nobody writes to it, then try again.")
