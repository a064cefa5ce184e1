"""Copies that are built at a temporary place of this machine, and get their name when they are whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.datastores.local_records import sync_folder
from airflow_mlpipe.datastores.transfer import discard
from airflow_mlpipe.errors import DataError


@contextmanager
def discarded(staged: Path) -> Iterator[None]:
    """Remove a temporary place when the block ends, whatever happened."""
    try:
        yield
    finally:
        discard(staged)


def put_in_place(staged: Path, place: Path) -> None:
    """Give a finished copy its name, unless that is taken, and make the name durable."""
    try:
        if staged.is_dir():
            staged.rename(place)
        else:
            os.link(staged, place)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) and os.path.lexists(place):
            raise taken(place) from error
        raise
    sync_folder(place.parent)


def taken(place: object) -> DataError:
    """Return the error for a place that is in use."""
    return DataError(
        f"{place} exists already, it is not overwritten. Remove it first, or name a path that nobody uses."
    )


def renamed(manifest: Manifest, name: str) -> Manifest:
    """A single file's entry has the name that it has at its new place."""
    if manifest.kind == "folder":
        return manifest
    return Manifest.of([FileEntry(name, entry.size, entry.digest) for entry in manifest.entries], kind="file")
