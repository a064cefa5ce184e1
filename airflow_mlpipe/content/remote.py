"""Data that a job's own machine fetches or writes by itself, with access that is limited to it and in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_mlpipe.redaction import Secret


@dataclass(frozen=True)
class RemoteFile:
    """One file that may be read.

    :param path: relative path in its folder; the file's own name where the data is a single file.
    :param version: mark of the version that was looked at; another one must not be used.
    :param url: without a query.
    :param query: of the URL; the right to read this one file for some hours.
    """

    path: str
    size: int
    version: str
    url: str
    query: Secret


@dataclass(frozen=True)
class RemoteData:
    """A file or folder in a store.

    :param url: of the file or folder, without a query.
    :param query: the right to create new files there, and none to read, change or remove any; ``None`` for data that
        is read.
    :param files: what may be read.
    :param empty: relative paths of folders without content.
    :param is_file: it is a single file.
    """

    url: str
    query: Secret | None = None
    files: Sequence[RemoteFile] = ()
    empty: Sequence[str] = ()
    is_file: bool = False

    def reveal(self) -> Mapping[str, Any]:
        """Return plain values with the rights in the clear, for the job's machine alone."""
        files = [[file.path, file.size, file.version, file.url, file.query.reveal()] for file in self.files]
        query = self.query.reveal() if self.query else ""
        return {"url": self.url, "query": query, "files": files, "empty": list(self.empty), "is_file": self.is_file}
