"""Digests of files and trees: the plain truth, every byte read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from stat import S_ISREG

from blake3 import blake3

from airflow_mlpipe.content.manifest import FileEntry, Manifest
from airflow_mlpipe.content.walk import FileStat, Tree, walk
from airflow_mlpipe.errors import DataError

_SMALL = 1 << 20
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Without O_NONBLOCK the open of a pipe that took the place of a file would wait for ever."""


def hash_file(path: str | os.PathLike[str]) -> str:
    """Return the digest of a file's bytes, ``blake3:<64 hex digits>``.

    :raises DataError: if it is no regular file, cannot be read, or changes while it is read.
    """
    return _hash(os.fspath(path), os.fspath(path), None)


def hash_entry(tree: Tree, file: FileStat) -> FileEntry:
    """Return the manifest entry of a file that :func:`~airflow_mlpipe.content.walk.walk` found.

    :raises DataError: if it is not the file that the walk saw, or changes while it is read.
    """
    take = _hash_small if file.size < _SMALL else _hash
    return FileEntry(file.path, file.size, take(tree.locate(file.path), file.path, file))


def scan(root: str | os.PathLike[str], include: Iterable[str] | None = None) -> Manifest | None:
    """Read a file or folder whole and return its manifest; ``None`` if nothing is there.

    A symbolic link that stays inside the tree counts as what it points to.

    :param root: the file or folder; the root itself may be a link.
    :param include: relative paths; only these files are looked at, those that do not exist are left out.
    :raises DataError: if the tree holds a link that leaves it, a link to nothing, a pipe, socket or device, cannot be
        read, or changes while it is read.
    """
    tree = walk(root, include)
    if tree is None:
        return None
    return tree.manifest(hash_entry(tree, file) for file in tree.files)


def _hash(path: str, shown: str, expected: FileStat | None) -> str:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise _unreadable(shown, error, gone=expected is not None) from error
    try:
        before = os.fstat(descriptor)
        if not S_ISREG(before.st_mode):
            raise DataError(f"{shown!r} is not a regular file. Only files can be read here.")
        seen = FileStat.of(expected.path if expected else "", before)
        if expected is not None and seen != expected:
            raise _changed(shown)
        digest = _read_whole(descriptor, before.st_size)
        if digest is None or FileStat.of(seen.path, os.fstat(descriptor)) != seen:
            raise _changed(shown)
    except OSError as error:
        raise _unreadable(shown, error, gone=False) from error
    finally:
        os.close(descriptor)
    return f"blake3:{digest}"


def _hash_small(path: str, shown: str, expected: FileStat) -> str:
    """Read a file in one go and look at it once, afterwards: whatever was done to it since the walk is seen then.

    The kernel's time of change never goes back, so a look before the read as well would see nothing more. What is not
    as expected is read again with care, which says what is wrong.
    """
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            data, seen = os.read(descriptor, expected.size + 1), os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if len(data) == expected.size and expected.still(seen):
            return f"blake3:{blake3(data).hexdigest()}"
    except OSError:
        pass
    return _hash(path, shown, expected)


def _read_whole(descriptor: int, size: int) -> str | None:
    """Return the hexadecimal digest, ``None`` if there are not exactly ``size`` bytes.

    Plain reads, because a memory map of a file that somebody truncates ends the process with SIGBUS. One thread,
    because blake3's threads do not live on in a forked child, which then waits for them for ever; Airflow forks.
    """
    if size < _SMALL:
        data = os.read(descriptor, size + 1)
        return blake3(data).hexdigest() if len(data) == size else None
    hasher = blake3()
    buffer = memoryview(bytearray(_SMALL))
    total = 0
    while count := os.readv(descriptor, [buffer]):
        hasher.update(buffer[:count])
        total += count
    return hasher.hexdigest() if total == size else None


def _changed(shown: str) -> DataError:
    return DataError(f"{shown!r} changed while it was read. Wait until nobody writes to it, then try again.")


def _unreadable(shown: str, error: OSError, *, gone: bool) -> DataError:
    if gone and isinstance(error, FileNotFoundError):
        return _changed(shown)
    reason = error.strerror or str(error)
    return DataError(f"{shown!r} cannot be read: {reason}. Check that it exists and that this user may read it.")
