"""From a container to this machine: parallel, in bounded memory, verified, there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from blake3 import blake3

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.datastores.azure_blob.arrival import WRITE, Arrival, write_at
from airflow_mlpipe.datastores.azure_blob.container import BLOCK, PIECE, Container
from airflow_mlpipe.datastores.azure_blob.fetch import fetch, fetch_pieces
from airflow_mlpipe.datastores.azure_blob.listing import Blob
from airflow_mlpipe.datastores.azure_blob.reader import MEMORY, THREADS, Reader, Seen
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.datastores.lanes import Lanes, counted
from airflow_mlpipe.datastores.local_records import store_errors
from airflow_mlpipe.datastores.staging import discarded, put_in_place, renamed, taken
from airflow_mlpipe.datastores.transfer import sync_all
from airflow_mlpipe.errors import DataError

_PART = 32 << 20
"""Bytes of a large file that one request brings; they are written as they arrive, so they need no memory."""


class Download:
    """Copies what lies at a path to this machine.

    :param container: the container.
    :param reader: tells what lies there.
    """

    def __init__(self, container: Container, reader: Reader) -> None:
        self._container = container
        self._reader = reader

    def run(self, path: str, to: Path, include: Sequence[str] | None, progress: Progress | None) -> Manifest:
        """Copy a file or folder to a path that does not exist yet; return the manifest of what was written.

        :raises DataError: if nothing is there, it changes meanwhile, or what arrives is not what was stored.
        """
        if os.path.lexists(to):
            raise taken(to)
        seen = self._reader.look(path, include)
        if seen is None:
            raise DataError(f"There is nothing at {path!r} in {self._container.shown}.")
        known = {name: what[2] for name, what in self._reader.known(seen).items()}
        staged = to.parent / f".mlpipe-{secrets.token_hex(12)}.tmp"
        with store_errors("written", to), discarded(staged):
            to.parent.mkdir(parents=True, exist_ok=True)
            digests = self._fetch_all(seen, staged, progress)
            self._compare(seen, digests, known, include)
            put_in_place(staged, to)
        self._reader.learn(seen, digests)
        entries = [FileEntry(name, blob.size, digests[name]) for name, blob in seen.files.items()]
        return renamed(Manifest.of(entries, seen.empty, seen.kind), to.name)

    def _fetch_all(self, seen: Seen, staged: Path, progress: Progress | None) -> dict[str, str]:
        """Write every file below the temporary place, durably; return the digests of what was written."""
        folders = {staged} if seen.kind == "folder" else set()
        folders |= {(staged / name).parent for name in seen.files if seen.kind == "folder"}
        folders |= {staged / name for name in seen.empty}
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        places = {name: staged / name if seen.kind == "folder" else staged for name in seen.files}
        count = counted(progress)
        small: dict[str, Future[str]] = {}
        large: dict[str, Arrival] = {}
        try:
            with Lanes(THREADS, MEMORY) as lanes:
                for name, blob in seen.files.items():
                    if blob.size > BLOCK:
                        large[name] = self._in_parts(lanes, blob, places[name], count)
                    else:
                        lanes.reserve(2 * blob.size)
                        small[name] = lanes.submit(2 * blob.size, self._whole, blob, places[name], count)
        finally:
            for arrival in large.values():
                arrival.close()
        sync_all(folders)
        return {name: small[name].result() if name in small else large[name].digest for name in places}

    def _whole(self, blob: Blob, place: Path, count: Progress) -> str:
        data = fetch(self._container, blob, 0, blob.size) if blob.size else b""
        writer = os.open(place, os.O_WRONLY | WRITE, 0o666)
        try:
            write_at(writer, data, 0)
            os.fsync(writer)
        finally:
            os.close(writer)
        count(len(data))
        return f"blake3:{blake3(data).hexdigest()}"

    def _in_parts(self, lanes: Lanes, blob: Blob, place: Path, count: Progress) -> Arrival:
        arrival = Arrival(place, blob.size, _PART)
        for offset in range(0, blob.size, _PART):
            lanes.reserve(2 * PIECE)
            lanes.submit(2 * PIECE, self._part, blob, arrival, offset, count)
        return arrival

    def _part(self, blob: Blob, arrival: Arrival, offset: int, count: Progress) -> None:
        for position, piece in fetch_pieces(self._container, blob, offset, min(_PART, blob.size - offset)):
            arrival.write(piece, position)
            count(len(piece))
        arrival.land(offset)

    def _compare(
        self, seen: Seen, digests: Mapping[str, str], known: Mapping[str, str], include: Sequence[str] | None
    ) -> None:
        """Compare what arrived with what is known; look again if what was seen may never have been there at once.

        Every blob was read as the version that was seen, and no version comes back: what one answer of the service
        said is what was read.
        """
        wrong = [name for name, blob in seen.files.items() if known.get(blob.name, digests[name]) != digests[name]]
        if wrong:
            raise DataError(
                f"{len(wrong)} of {len(seen.files)} files of {seen.path!r} did not arrive as they were stored "
                f"({', '.join(wrong[:3])}). Try again; if it stays so, the data in {self._container.shown} is damaged."
            )
        if not seen.at_once and self._reader.look(seen.path, include) != seen:
            raise DataError(f"{seen.path!r} changed while it was read. Wait until nobody writes to it, then try again.")
