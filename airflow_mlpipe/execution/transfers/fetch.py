"""Bringing an input to this machine, verified; goes on where an earlier try was cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.content.digest import hash_file
from airflow_mlpipe.content.walk import walk
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.datastores.transfer import copy_tree, discard
from airflow_mlpipe.errors import DataError
from airflow_mlpipe.execution.inputs import ResolvedInput
from airflow_mlpipe.execution.transfers.meter import Meter
from airflow_mlpipe.workspace import Workspace

_FILES_AT_ONCE = 1000
_BYTES_AT_ONCE = 512 << 20


def fetch(workspace: Workspace, item: ResolvedInput, to: Path, meter: Meter) -> Manifest:
    """Copy an input to a place of this machine and return the manifest of what is there then.

    Files that lie at ``to`` already, from a try that was cut off, are kept if their bytes are right.

    :param to: a file if the input is a single file, else a folder.
    :raises DataError: if the data changed since it was resolved, or while it was copied.
    """
    if item.marked:
        discard(to)
        copied = _copy(workspace, item, to, item.include, meter)
    else:
        wanted = item.manifest(workspace)
        if wanted is None or wanted.digest != item.content.digest:
            raise _changed(item)
        copied = _complete(workspace, item, to, wanted, meter)
    if not item.is_copied_by(copied, workspace):
        discard(to)
        raise _changed(item)
    return copied


def _complete(workspace: Workspace, item: ResolvedInput, to: Path, wanted: Manifest, meter: Meter) -> Manifest:
    if wanted.kind == "file":
        if to.is_file() and not to.is_symlink() and hash_file(to) == wanted.entries[0].digest:
            meter.skip(wanted.size)
            return wanted
        discard(to)
        return _copy(workspace, item, to, item.include, meter)
    if to.is_symlink() or to.is_file():
        discard(to)
    to.mkdir(parents=True, exist_ok=True)
    _drop_strangers(to, wanted)
    missing = [entry for entry in wanted.entries if not _is_there(to / entry.path, entry)]
    meter.skip(wanted.size - sum(entry.size for entry in missing))
    part = to.with_name(f"{to.name}.part")
    for chunk in _chunks(missing):
        discard(part)
        copied = _copy(workspace, item, part, [entry.path for entry in chunk], meter)
        if copied.entries != tuple(chunk):
            raise _changed(item)
        for entry in chunk:
            place = to / entry.path
            place.parent.mkdir(parents=True, exist_ok=True)
            (part / entry.path).replace(place)
    discard(part)
    for folder in wanted.empty_folders:
        (to / folder).mkdir(parents=True, exist_ok=True)
    return wanted


def _copy(
    workspace: Workspace, item: ResolvedInput, to: Path, include: Sequence[str] | None, progress: Progress
) -> Manifest:
    if item.datastore is not None:
        return workspace.datastore(item.datastore).download(item.path, to, include, progress)
    tree = walk(item.path, include)
    if tree is None:
        raise DataError(f"There is no data at {item.path}.")
    return copy_tree(tree, to, include, progress)


def _is_there(place: Path, entry: FileEntry) -> bool:
    try:
        return place.is_file() and place.stat().st_size == entry.size and hash_file(place) == entry.digest
    except OSError:
        return False


def _drop_strangers(to: Path, wanted: Manifest) -> None:
    """Remove what an earlier try left and the input does not hold."""
    known = {entry.path for entry in wanted.entries}
    for where, folders, names in os.walk(to, topdown=False):
        here = Path(where)
        for name in names:
            if (here / name).relative_to(to).as_posix() not in known:
                discard(here / name)
        for name in folders:
            if (here / name).is_symlink() or not any((here / name).iterdir()):
                discard(here / name)


def _chunks(entries: Sequence[FileEntry]) -> Iterator[list[FileEntry]]:
    chunk: list[FileEntry] = []
    size = 0
    for entry in entries:
        if chunk and (len(chunk) >= _FILES_AT_ONCE or size + entry.size > _BYTES_AT_ONCE):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += entry.size
    if chunk:
        yield chunk


def _changed(item: ResolvedInput) -> DataError:
    return DataError(f"the data at {item.origin} changed while it was copied. Retry when it is at rest.")
