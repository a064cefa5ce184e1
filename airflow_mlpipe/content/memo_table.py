"""The SQLite side of the digest memo. No method ever fails: what goes wrong is a memo that knows nothing."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal, cast

from airflow_mlpipe.content.manifest import ContentSummary

FileRow = tuple[str, int, int, int, int, str]
"""Path, size, mtime, ctime, inode, digest."""

_WAIT = 1.0
_MOST_TREES = 2_000
_MOST_FILES = 1_000_000
_TABLES = """
CREATE TABLE IF NOT EXISTS tree_v1 (
    id BLOB PRIMARY KEY, root BLOB NOT NULL, stat BLOB NOT NULL,
    digest TEXT NOT NULL, files INTEGER NOT NULL, size INTEGER NOT NULL, kind TEXT NOT NULL, written INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file_v1 (
    root BLOB, path BLOB, size INTEGER, mtime INTEGER, ctime INTEGER, inode BLOB, digest TEXT,
    PRIMARY KEY (root, path)
) WITHOUT ROWID;
"""
_FEW = 500


class MemoTable:
    """Rows for trees and for files. A row that is lost costs a read of the file, nothing else.

    :param path: of the database; its folder is made when needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def tree(self, tree_id: bytes, stat: bytes) -> ContentSummary | None:
        """Return what is known of a tree that looks like this, ``None`` if nothing is."""
        rows: list[tuple[str, int, int, str]] = []
        with self._open() as database:
            if database:
                query = "SELECT digest, files, size, kind FROM tree_v1 WHERE id = ? AND stat = ?"
                rows = database.execute(query, (tree_id, stat)).fetchall()
        if not rows:
            return None
        digest, files, size, kind = rows[0]
        return ContentSummary(digest, files, size, cast(Literal["file", "folder"], kind))

    def files(self, root: str, paths: Sequence[str] | None) -> dict[str, tuple[int, int, int, int, str]]:
        """Return what is known of the files of a tree; with ``paths`` at least of these."""
        found: dict[str, tuple[int, int, int, int, str]] = {}
        with self._open() as database:
            if database:
                for path, size, mtime, ctime, inode, digest in _file_rows(database, os.fsencode(root), paths):
                    found[os.fsdecode(path)] = (size, mtime, ctime, int(inode), digest)
        return found

    def write_files(self, root: str, rows: Iterable[FileRow], gone: Iterable[str]) -> None:
        """Add and replace rows of files, and drop those of files that are gone."""
        place = os.fsencode(root)
        values = [
            (place, os.fsencode(path), *times, str(inode).encode(), digest) for path, *times, inode, digest in rows
        ]
        old = [(place, os.fsencode(path)) for path in gone]
        if not values and not old:
            return
        with self._open() as database:
            if database:
                database.executemany("DELETE FROM file_v1 WHERE root = ? AND path = ?", old)
                database.executemany("INSERT OR REPLACE INTO file_v1 VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def write_tree(self, tree_id: bytes, root: str, stat: bytes, summary: ContentSummary) -> None:
        """Add or replace the row of a tree; the oldest trees make room for it when there are very many."""
        what = (summary.digest, summary.files, summary.size, summary.kind, time.time_ns())
        with self._open() as database:
            if database:
                row = (tree_id, os.fsencode(root), stat, *what)
                database.execute("INSERT OR REPLACE INTO tree_v1 VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
                _make_room(database)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection | None]:
        """Open a transaction; ``None`` if that fails. Errors of SQLite inside the block end it in silence."""
        database: sqlite3.Connection | None = None
        try:
            database = self._connect()
        except (OSError, sqlite3.Error) as error:
            self._replace_if_damaged(error)
            yield None
            return
        with closing(database):
            try:
                with database:
                    yield database
            except (sqlite3.Error, ValueError, OverflowError) as error:
                self._replace_if_damaged(error)

    def _connect(self) -> sqlite3.Connection:
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=_WAIT)
        try:
            database.execute("PRAGMA synchronous = NORMAL")
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'file_v1'").fetchone():
                database.execute("PRAGMA journal_mode = WAL")
                database.executescript(_TABLES)
        except BaseException:
            database.close()
            raise
        return database

    def _replace_if_damaged(self, error: Exception) -> None:
        """Remove a database that SQLite cannot read. Locked, full and read-only ones raise a subclass."""
        if type(error) is not sqlite3.DatabaseError:
            return
        with suppress(OSError), Path(f"{self._path}.repair").open("wb") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            if self._is_damaged():  # else another process was here first and a good one lies there already
                for name in (f"{self._path}-wal", f"{self._path}-shm", self._path):
                    Path(name).unlink(missing_ok=True)

    def _is_damaged(self) -> bool:
        try:
            with closing(sqlite3.connect(self._path, timeout=_WAIT)) as database:
                return bool(database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
        except sqlite3.Error as error:
            return type(error) is sqlite3.DatabaseError


def _file_rows(
    database: sqlite3.Connection, root: bytes, paths: Sequence[str] | None
) -> Iterator[tuple[bytes, int, int, int, bytes, str]]:
    query = "SELECT path, size, mtime, ctime, inode, digest FROM file_v1 WHERE root = ?"
    if paths is None or len(paths) > _FEW:
        yield from database.execute(query, (root,))
        return
    for path in paths:
        yield from database.execute(f"{query} AND path = ?", (root, os.fsencode(path)))


def _make_room(database: sqlite3.Connection) -> None:
    trees, files = database.execute("SELECT count(*), total(files) FROM tree_v1").fetchone()
    if trees <= _MOST_TREES and files <= _MOST_FILES:
        return
    oldest = "DELETE FROM tree_v1 WHERE id IN (SELECT id FROM tree_v1 ORDER BY written LIMIT ?)"
    database.execute(oldest, (trees // 2 + 1,))
    database.execute("DELETE FROM file_v1 WHERE root NOT IN (SELECT root FROM tree_v1)")
