"""The content manifest: every file of a tree by relative path, size and digest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from blake3 import blake3

from airflow_mlpipe.errors import DataError

Kind = Literal["file", "folder"]

_DOMAIN = b"mlpipe-tree/1"


def _framed(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return len(raw).to_bytes(8, "big") + raw


@dataclass(frozen=True, order=True, slots=True)
class FileEntry:
    """One file of a tree.

    :param path: POSIX path relative to the root of the tree; the file's own name for a single file.
    :param size: bytes.
    :param digest: algorithm and hexadecimal digest, ``blake3:9c1e...``.
    """

    path: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class ContentSummary:
    """A whole tree in one line.

    :param digest: the tree digest, ``tree:<hex>`` for a folder, the file's own digest for a single file.
    :param files: number of files.
    :param size: bytes of all files.
    :param kind: a single file or a folder.
    """

    digest: str
    files: int
    size: int
    kind: Kind


@dataclass(frozen=True)
class Manifest:
    """Every file of a tree, sorted by path.

    The digest of a folder covers relative paths, sizes, bytes and empty folders; it leaves out times, owners and modes.
    A single file has the digest of its bytes: its name does not count.

    :param entries: the files.
    :param empty_folders: relative paths of folders without content, sorted.
    :param kind: a single file or a folder.
    """

    entries: tuple[FileEntry, ...]
    empty_folders: tuple[str, ...] = ()
    kind: Kind = "folder"

    @classmethod
    def of(cls, entries: Iterable[FileEntry], empty_folders: Iterable[str] = (), kind: Kind = "folder") -> Manifest:
        """Build a manifest from entries in any order."""
        return cls(tuple(sorted(entries)), tuple(sorted(empty_folders)), kind)

    @cached_property
    def digest(self) -> str:
        """The tree digest; equal if and only if the contents are equal."""
        if self.kind == "file":
            return self.entries[0].digest
        hasher = blake3(_DOMAIN)
        hasher.update(len(self.entries).to_bytes(8, "big"))
        for entry in self.entries:
            hasher.update(_framed(entry.path) + entry.size.to_bytes(8, "big") + _framed(entry.digest))
        for folder in self.empty_folders:
            hasher.update(_framed(folder))
        return f"tree:{hasher.hexdigest()}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)

    @property
    def summary(self) -> ContentSummary:
        """The manifest in one line."""
        return ContentSummary(self.digest, len(self.entries), self.size, self.kind)

    def to_json(self) -> bytes:
        """Return the manifest as JSON, the same bytes for the same content."""
        document = {
            "schema": 1,
            "kind": self.kind,
            "digest": self.digest,
            "files": [[entry.path, entry.size, entry.digest] for entry in self.entries],
            "empty_folders": list(self.empty_folders),
        }
        return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read a manifest back.

        :raises DataError: if it is damaged: not JSON, wrong shape, or not matching its own digest.
        """
        try:
            document: dict[str, Any] = json.loads(data)
            entries = [FileEntry(str(path), int(size), str(digest)) for path, size, digest in document["files"]]
            manifest = cls.of(entries, [str(name) for name in document["empty_folders"]], document["kind"])
            if document["schema"] != 1 or document["digest"] != manifest.digest:
                raise ValueError("digest or schema does not match")
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            raise DataError(
                f"A content manifest is damaged ({error}); it is ignored and its data counts as absent."
            ) from error
        return manifest


@dataclass(frozen=True, slots=True)
class DataRef:
    """Content at a place: what crosses from one step to the next.

    :param datastore: name of the datastore.
    :param path: POSIX path within the datastore, no leading slash.
    :param type: Azure ML data type (``uri_folder``, ``uri_file``, ``mltable``, ``mlflow_model``, ...).
    :param content: digest, number of files, bytes.
    """

    datastore: str
    path: str
    type: str
    content: ContentSummary

    @property
    def uri(self) -> str:
        """The Azure ML form, ``azureml://datastores/<name>/paths/<path>``."""
        return f"azureml://datastores/{self.datastore}/paths/{self.path}"
