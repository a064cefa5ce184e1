"""What the container itself knows of uploads: which bytes an ETag stands for.

Beside the data, under ``.mlpipe/digests/<path>/proof.json``, lies a proof for each upload: name, ETag, size and digest
of every blob, written when all of them are there. Every machine can so tell the content of an upload from one list of
blobs, without reading them. An ETag changes with every write, so a proof never counts for other bytes than its own.
While an upload is on its way its proof says so; an upload that was cut off is known by that, and can be taken up again.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_mlpipe.datastores.azure_blob.container import Container
from airflow_mlpipe.datastores.azure_blob.etags import Known
from airflow_mlpipe.datastores.azure_blob.listing import list_blobs
from airflow_mlpipe.datastores.azure_blob.names import name_fault
from airflow_mlpipe.datastores.azure_blob.records import create_blob, delete_blob, read_blob, replace_blob
from airflow_mlpipe.datastores.paths import OWN_FOLDER
from airflow_mlpipe.storage import seal, unseal

_FOLDER = f"{OWN_FOLDER}/digests"
_FILE = "proof.json"
_SCHEMA = 1


@dataclass(frozen=True)
class Proof:
    """What is known of one upload.

    :param upload: random name of it, also in the metadata of its blobs.
    :param whole: False while it is on its way.
    :param blobs: by name in the container.
    """

    upload: str
    whole: bool = False
    blobs: Mapping[str, Known] = field(default_factory=dict)


class Proofs:
    """Reads and writes the proofs of a container.

    :param container: the container.
    """

    def __init__(self, container: Container) -> None:
        self._container = container

    def fresh(self) -> Proof:
        """Return the proof of an upload that nobody has heard of."""
        return Proof(secrets.token_hex(16))

    def begin(self, path: str) -> Proof:
        """Note that an upload to a path begins, or take up one that was cut off there."""
        proof = self.fresh()
        place = self._place(path)
        if place is None or create_blob(self._container, place, _to_json(proof)):
            return proof
        there = self.read(path)
        if there is not None and not there.whole:
            return there
        replace_blob(self._container, place, _to_json(proof))
        return proof

    def end(self, path: str, proof: Proof) -> None:
        """Note that an upload is whole."""
        place = self._place(path)
        if place is not None:
            replace_blob(self._container, place, _to_json(proof))

    def read(self, path: str) -> Proof | None:
        """Return the proof of an upload to this very path, ``None`` if there is none or it is damaged."""
        place = self._place(path)
        data = read_blob(self._container, place) if place else None
        return None if data is None else _from_json(data)

    def around(self, path: str) -> list[Proof]:
        """Return the proofs of uploads to folders above a path, and to places below it."""
        parts = path.split("/") if path else []
        above = ["/".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]
        below = [place for place in self._below(path) if place != self._place(path)]
        found = [self.read(folder) for folder in above]
        for place in below:
            data = read_blob(self._container, place)
            found.append(None if data is None else _from_json(data))
        return [proof for proof in found if proof]

    def forget(self, path: str) -> None:
        """Remove the proofs of a path and of what lies below it."""
        for place in self._below(path):
            delete_blob(self._container, place)

    def _below(self, path: str) -> list[str]:
        folder = f"{_FOLDER}/{path}".rstrip("/")
        with self._container.errors("listed", path):
            return [blob.path for blob in list_blobs(self._container, folder) if blob.path]

    def _place(self, path: str) -> str | None:
        place = f"{_FOLDER}/{path}/{_FILE}"
        return None if name_fault(self._container.name_of(place)) else place


def _to_json(proof: Proof) -> bytes:
    blobs = [[name, *known] for name, known in sorted(proof.blobs.items())]
    document = {"schema": _SCHEMA, "upload": proof.upload, "whole": proof.whole, "blobs": blobs}
    return seal(json.dumps(document, separators=(",", ":")).encode())


def _from_json(data: bytes) -> Proof | None:
    try:
        document: dict[str, Any] = json.loads(unseal(data))
        if document["schema"] != _SCHEMA:
            return None
        blobs = {str(name): (str(etag), int(size), str(digest)) for name, etag, size, digest in document["blobs"]}
        return Proof(str(document["upload"]), bool(document["whole"]), blobs)
    except (ValueError, KeyError, TypeError):
        return None
