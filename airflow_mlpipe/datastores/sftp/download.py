"""From a server to this machine: verified, in bounded memory, there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from blake3 import blake3

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.datastores.lanes import Lanes, counted
from airflow_mlpipe.datastores.local_records import store_errors
from airflow_mlpipe.datastores.sftp.look import Seen
from airflow_mlpipe.datastores.sftp.reader import PART, THREADS, Reader
from airflow_mlpipe.datastores.sftp.requests import Stat
from airflow_mlpipe.datastores.staging import discarded, put_in_place, renamed, taken
from airflow_mlpipe.datastores.transfer import sync_all
from airflow_mlpipe.errors import DataError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def download(reader: Reader, path: str, to: Path, include: Sequence[str] | None, progress: Progress | None) -> Manifest:
    """Copy a file or folder to a path of this machine that does not exist yet; return the manifest of what was written.

    A connection that breaks off is opened again, and the file goes on where it was.

    :raises DataError: if nothing is there, or it changes meanwhile. Nothing is left at ``to`` then.
    """
    if os.path.lexists(to):
        raise taken(to)
    seen = reader.look(path, include)
    if seen is None:
        raise DataError(f"There is nothing at {path!r} in {reader.server.shown}.")
    staged = to.parent / f".mlpipe-{secrets.token_hex(12)}.tmp"
    with store_errors("written", to), discarded(staged):
        to.parent.mkdir(parents=True, exist_ok=True)
        digests = _receive_all(reader, seen, staged, counted(progress))
        reader.refuse_changed(path, include, seen)
        put_in_place(staged, to)
    entries = [FileEntry(name, stat.size, digests[name]) for name, stat in seen.files.items()]
    return renamed(Manifest.of(entries, [] if include is not None else seen.empty, seen.kind), to.name)


def _receive_all(reader: Reader, seen: Seen, staged: Path, count: Progress) -> dict[str, str]:
    places = {name: staged / name if seen.kind == "folder" else staged for name in seen.files}
    folders = {staged, *(staged / name for name in seen.empty)} if seen.kind == "folder" else set()
    folders |= {place.parent for place in places.values() if place != staged}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    with Lanes(THREADS, THREADS * PART) as lanes:
        running: dict[str, Future[str]] = {}
        for name, stat in seen.files.items():
            lanes.reserve(PART)
            running[name] = lanes.submit(PART, _receive, reader, (seen, name, stat), places[name], count)
    sync_all([*places.values(), *folders])
    return {name: future.result() for name, future in running.items()}


def _receive(reader: Reader, source: tuple[Seen, str, Stat], place: Path, count: Progress) -> str:
    """Write one file and return the digest of its bytes."""
    hasher = blake3()
    with os.fdopen(os.open(place, _NEW, 0o666), "wb") as stream:
        for data in reader.parts(*source):
            hasher.update(data)
            stream.write(data)
            count(len(data))
    return f"blake3:{hasher.hexdigest()}"
