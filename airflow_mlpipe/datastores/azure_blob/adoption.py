"""What a job's own machine has written: read once, compared with the digests that it left, and then known here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from blake3 import blake3

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.datastores.azure_blob.container import BLOCK, Container
from airflow_mlpipe.datastores.azure_blob.fetch import fetch
from airflow_mlpipe.datastores.azure_blob.listing import Blob
from airflow_mlpipe.datastores.azure_blob.reader import MEMORY, THREADS, Reader
from airflow_mlpipe.datastores.lanes import Lanes
from airflow_mlpipe.errors import DataError

_SINGLE = ""
"""The path of an output that is a file."""
Left = Mapping[str, Sequence[int | str]]
"""What the job says that it left: relative path to size and SHA-256; an empty folder ends with a slash."""


def adopt(container: Container, reader: Reader, path: str, left: Left) -> Manifest:
    """Return the manifest of what lies at a path, if it is what the job left.

    :raises DataError: if it is not.
    """
    seen = reader.look(path)
    kind = "file" if set(left) == {_SINGLE} else "folder"
    there = {_SINGLE if kind == "file" else name: blob for name, blob in seen.files.items()} if seen else {}
    names = {*there, *(f"{folder}/" for folder in (seen.empty if seen else ()))}
    if seen is None or (seen.kind != kind and seen.files) or names != left.keys():
        lost, foreign = sorted(left.keys() - names)[:3], sorted(names - left.keys())[:3]
        raise _different(container, path, f"missing: {lost or 'nothing'}, not from the job: {foreign or 'nothing'}")
    digests = {}
    with Lanes(THREADS, MEMORY) as lanes:
        futures = {}
        for name, blob in there.items():
            lanes.reserve(min(blob.size, 2 * BLOCK))
            futures[name] = lanes.submit(min(blob.size, 2 * BLOCK), _digests, container, blob)
        for name, future in futures.items():
            ours, theirs = future.result()
            if list(left[name]) != [there[name].size, theirs]:
                raise _different(container, path, f"{name or path!r} has other bytes")
            digests[name] = ours
    paths = {_SINGLE if kind == "file" else name: name for name in seen.files}
    reader.learn(seen, {paths[name]: digest for name, digest in digests.items()})
    entries = [FileEntry(paths[name], there[name].size, digest) for name, digest in digests.items()]
    return Manifest.of(entries, seen.empty, seen.kind)


def _digests(container: Container, blob: Blob) -> tuple[str, str]:
    ours, theirs = blake3(), hashlib.sha256()
    for offset in range(0, blob.size, BLOCK):
        data = fetch(container, blob, offset, min(BLOCK, blob.size - offset))
        ours.update(data)
        theirs.update(data)
    return f"blake3:{ours.hexdigest()}", theirs.hexdigest()


def _different(container: Container, path: str, what: str) -> DataError:
    return DataError(
        f"What lies at {path!r} in {container.shown} is not what the job left ({what}). It was damaged on the way or "
        "changed since. Run the step again."
    )
