"""What this machine knows of blobs by their ETag.

The service gives a blob another ETag with every write, so a digest that was once taken of an ETag's bytes is never
stale. A row that is lost costs a read of the blob, nothing else; so no method ever fails.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path

from airflow_mlpipe.user_cache import user_cache

_WAIT = 1.0
_MOST_PAGES = 128 * 1024
"""Of 4 KiB: about two million blobs. Then all is forgotten, which costs one read of each blob."""
_TABLE = """
CREATE TABLE IF NOT EXISTS blob_v1 (
    container TEXT, name TEXT, etag TEXT NOT NULL, size INTEGER NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (container, name)
) WITHOUT ROWID
"""
Known = tuple[str, int, str]
"""ETag, size, digest."""


def default_place() -> Path:
    """Return where the digests are kept when nobody says another place."""
    return user_cache() / "blobs.sqlite"


class EtagMemo:
    """Digests by container, name and ETag. Any number of processes and threads may use one file.

    :param path: of the SQLite database, made when needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def below(self, container: str, prefix: str) -> dict[str, Known]:
        """Return what is known of the blobs whose name begins with a prefix."""
        query = "SELECT name, etag, size, digest FROM blob_v1 WHERE container = ? AND name >= ? AND name < ?"
        try:
            with closing(self._connect()) as database:
                rows = database.execute(query, (container, prefix, prefix + "\U0010ffff")).fetchall()
        except (OSError, sqlite3.Error, ValueError) as error:
            self._drop_if_damaged(error)
            return {}
        return {name: (etag, size, digest) for name, etag, size, digest in rows}

    def learn(self, container: str, blobs: Mapping[str, Known]) -> None:
        """Remember digests."""
        rows: Iterable[tuple[str, str, str, int, str]] = [(container, name, *known) for name, known in blobs.items()]
        try:
            with closing(self._connect()) as database, database:
                database.executemany("INSERT OR REPLACE INTO blob_v1 VALUES (?, ?, ?, ?, ?)", rows)
                if _pages(database) > _MOST_PAGES:
                    database.execute("DELETE FROM blob_v1")
        except (OSError, sqlite3.Error, ValueError) as error:
            self._drop_if_damaged(error)

    def _connect(self) -> sqlite3.Connection:
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=_WAIT)
        try:
            database.execute("PRAGMA synchronous = OFF")
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'blob_v1'").fetchone():
                database.execute("PRAGMA journal_mode = WAL")
                database.execute(_TABLE)
        except BaseException:
            database.close()
            raise
        return database

    def _drop_if_damaged(self, error: Exception) -> None:
        """Remove a database that SQLite cannot read; locked, full and read-only ones raise a subclass."""
        if type(error) is sqlite3.DatabaseError:
            with suppress(OSError):
                for suffix in ("-wal", "-shm", ""):
                    Path(f"{self._path}{suffix}").unlink(missing_ok=True)


def _pages(database: sqlite3.Connection) -> int:
    """Return how many pages hold something; a count of the rows would read them all."""
    pages, free = (database.execute(f"PRAGMA {what}_count").fetchone()[0] for what in ("page", "freelist"))
    return int(pages - free)
