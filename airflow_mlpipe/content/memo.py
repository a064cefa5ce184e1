"""The digest memo: a tree that ``stat`` proves unchanged is not read again.

One row per tree answers the unchanged case with a walk and one look-up; one row per file keeps the cost of a change to
the files that changed. The memo is only a saver of time: without it, and whenever anything about it fails, the tree is
read. What makes it safe is written in ``docs/decisions/020-digest-memo.md``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from blake3 import blake3

from airflow_mlpipe.content.digest import hash_entry
from airflow_mlpipe.content.manifest import ContentSummary, FileEntry, Manifest
from airflow_mlpipe.content.memo_table import FileRow, MemoTable
from airflow_mlpipe.content.mounts import file_system_of
from airflow_mlpipe.content.walk import FileStat, Tree, walk

TRUSTED_FILE_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "overlay"})
"""Local file systems whose change time moves with every write. Not tmpfs (a write through a memory map never moves it),
not network and FUSE mounts (they may answer ``stat`` from a cache while another machine writes)."""

_SETTLED = 2_000_000_000
"""Nanoseconds. A file that changed later than this before the walk may change again within one tick of its clock (git's
"racy clean"; ccache waits as long)."""

SMALL_TREE = 256 * 1024
"""Bytes that are read in about the time of one look-up (0.75 ms)."""

_FEW_FILES = 8


class DigestMemo:
    """Content identity of files and folders of this machine, remembered between processes.

    Any number of processes and threads may use one database at once.

    :param path: the SQLite database, made when needed; ``None`` to remember nothing.
    :param clock: the time in nanoseconds since 1970, on the clock that the file system uses.
    :param trusted: file systems whose ``stat`` is believed.
    :param smallest: bytes; a tree of a few files that holds less is read, because that costs less than the look-up.
    :ivar files_read: files that this object has read so far, to tell what a look-up cost.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], int] = time.time_ns,
        trusted: Iterable[str] = TRUSTED_FILE_SYSTEMS,
        smallest: int = 0,
    ) -> None:
        self._table = None if path is None else MemoTable(path)
        self._clock = clock
        self._trusted = frozenset(trusted)
        self._smallest = smallest
        self.files_read = 0

    def manifest(self, root: str | os.PathLike[str], include: Iterable[str] | None = None) -> Manifest | None:
        """Return what :func:`~airflow_mlpipe.content.digest.scan` returns, reading only what may have changed.

        :raises DataError: as :func:`~airflow_mlpipe.content.digest.scan`.
        """
        began = self._clock()
        wanted = None if include is None else list(include)
        tree = walk(root, wanted)
        return None if tree is None else self._read(tree, wanted, began, self._table_for(tree))

    def summary(self, root: str | os.PathLike[str], include: Iterable[str] | None = None) -> ContentSummary | None:
        """Return the summary of :meth:`manifest`; for an unchanged tree at the cost of a walk.

        :raises DataError: as :meth:`manifest`.
        """
        began = self._clock()
        wanted = None if include is None else list(include)
        tree = walk(root, wanted)
        if tree is None:
            return None
        table = self._table_for(tree)
        known = table.tree(_tree_id(tree, wanted), _stat_digest(tree)) if table else None
        return known or self._read(tree, wanted, began, table).summary

    def _table_for(self, tree: Tree) -> MemoTable | None:
        """Return the table if the tree lies on a file system that can be believed, all of it on the same one."""
        if len(tree.files) <= _FEW_FILES and sum(file.size for file in tree.files) < self._smallest:
            return None
        if self._table is None or file_system_of(tree.root) not in self._trusted:
            return None
        return self._table if {file.device for file in tree.files} <= {tree.device} else None

    def _read(self, tree: Tree, include: Sequence[str] | None, began: int, table: MemoTable | None) -> Manifest:
        known = table.files(tree.root, None if include is None else [file.path for file in tree.files]) if table else {}
        entries: list[FileEntry] = []
        fresh: list[FileRow] = []
        settled = True
        for file in tree.files:
            row = known.get(file.path)
            if row is not None and row[:-1] == _stamp(file):
                entries.append(FileEntry(file.path, file.size, row[-1]))
                continue
            entry = hash_entry(tree, file)
            self.files_read += 1
            entries.append(entry)
            if max(file.mtime, file.ctime) < began - _SETTLED:
                fresh.append((file.path, *_stamp(file), entry.digest))
            else:
                settled = False
        manifest = tree.manifest(entries)
        if table:
            gone = [] if include is not None else sorted(known.keys() - {file.path for file in tree.files})
            table.write_files(tree.root, fresh, gone)
            if settled:
                table.write_tree(_tree_id(tree, include), tree.root, _stat_digest(tree), manifest.summary)
        return manifest


def _stamp(file: FileStat) -> tuple[int, int, int, int]:
    return file.size, file.mtime, file.ctime, file.inode


def _tree_id(tree: Tree, include: Sequence[str] | None) -> bytes:
    """Return what names a tree: its root, and the choice of files in it."""
    choice = None if include is None else sorted(set(include))
    return blake3(repr((tree.root, choice)).encode("utf-8", "surrogatepass")).digest()


def _stat_digest(tree: Tree) -> bytes:
    """Return a digest of all that ``stat`` says of a tree. ``repr`` of plain tuples marks where each value ends."""
    facts = (tree.kind, tree.empty_folders, [file[:5] for file in tree.files])  # all but the device, which all share
    return blake3(repr(facts).encode("utf-8", "surrogatepass")).digest()
