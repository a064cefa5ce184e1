"""The reuse store: what was computed before, found by identity and verified before it is used.

Under the prefix of the workspace's default datastore lie

    reuse/<2 hex>/<key>.json              the record; put last, if absent: a result exists from then on
    attempts/<id>/<port>                  the output itself; no two writers ever share an attempt
    attempts/<id>/<port>.manifest.json    its files; names what is damaged later
    last/<pipeline>/<step>.json           which key a step had last; for explanations only
    code/<2 hex>/<digest>                 source files by content; for explanations only
    used/<2 hex>/<key>.json               the day of the last hit; for garbage collection only

A record or output that is missing, damaged or foreign is a miss and never an error, and a hit has been compared
with the bytes that lie there now.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from airflow_mlpipe.content import ContentSummary, DataRef, Manifest
from airflow_mlpipe.errors import DataError, StoreError
from airflow_mlpipe.frozen import from_json, to_json
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.reuse.damage import describe
from airflow_mlpipe.reuse.marks import UseMarks
from airflow_mlpipe.reuse.source_texts import SourceTexts
from airflow_mlpipe.snapshot import Snapshot
from airflow_mlpipe.storage import RecordStorage, seal, segment, unseal

_log = logging.getLogger(__name__)
SCHEMA_VERSION = 1
_TURNS = 8


class VerifiableStorage(RecordStorage, Protocol):
    """What the reuse store needs from a datastore: records, and a look at the content of data."""

    name: str

    def summary(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the content identity of a file or folder, ``None`` if nothing is there."""

    def manifest(self, path: str, include: Sequence[str] | None = None) -> Manifest | None:
        """Return the manifest of a file or folder, ``None`` if nothing is there."""


@dataclass(frozen=True)
class Found:
    """The answer of a look-up.

    :param record: what can be reused, verified just now; ``None`` for a miss.
    :param problem: why a record that is there did not do, as a sentence without its end; empty if there was no record.
    """

    record: ReuseRecord | None
    problem: str = ""


class ReuseStore:
    """Finds and keeps results. Safe to use from many processes at once.

    :param datastore: holds records and outputs.
    :param prefix: folder in it, shared with the registry and the run store.
    """

    def __init__(self, datastore: VerifiableStorage, prefix: str = "mlpipe") -> None:
        self.datastore = datastore
        self.prefix = prefix
        self.marks = UseMarks(datastore, f"{prefix}/used")
        self._texts = SourceTexts(datastore, f"{prefix}/code")

    def find(self, key: str) -> Found:
        """Look a result up and verify all its outputs.

        :param key: of a fingerprint.
        :raises StoreError: only if the store itself cannot be read.
        """
        found = self._read(key)
        if found.record is None:
            return found
        for port, output in sorted(found.record.outputs.items()):
            problem = self._misplaced(found.record.attempt, port, output) or self._damage(
                found.record.attempt, port, output
            )
            if problem:
                return Found(None, problem)
        self.marks.touch(key, found.record.created)
        return found

    def publish(self, record: ReuseRecord, replace: bool = False) -> bool:
        """Make a result known. Call it last, when all outputs are in place.

        :param replace: put it in place of a good record too (a forced or cleared step). A record that does not
            verify is replaced in any case.
        :returns: True if this record is the one now stored; False if an equal step was published first.
        :raises StoreError: if it cannot be written, or its outputs do not lie under its attempt in this store.
        """
        for port, output in record.outputs.items():
            problem = self._misplaced(record.attempt, port, output)
            if problem:
                raise StoreError(f"The result of step {record.step!r} cannot be published: {problem}.")
        place, data = self._place(record.key), _to_json(record)
        if replace:
            self.datastore.replace(place, data)
            return True
        if self.datastore.create(place, data):
            return True
        for _ in range(_TURNS):
            stored = self._read(record.key).record
            if stored and stored.nonce == record.nonce:
                return True
            if self.find(record.key).record:
                return False
            self.datastore.replace(place, data)
        return False

    def stored(self, key: str) -> ReuseRecord | None:
        """Return the record of a key as it stands, its outputs not verified; ``None`` if there is none to be read."""
        return self._read(key).record

    def new_attempt(self) -> str:
        """Return a prefix that nobody else has or will have; sorted by name is sorted by time."""
        moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
        return f"{self.prefix}/attempts/{moment}-{secrets.token_hex(8)}"

    def output_path(self, attempt: str, port: str) -> str:
        """Return where the output of a port lies: the folder itself, or the file itself."""
        return f"{attempt}/{port}"

    def write_manifest(self, attempt: str, port: str, manifest: Manifest) -> None:
        """Keep the manifest of an output beside it."""
        self.datastore.replace(_manifest_place(attempt, port), manifest.to_json())

    def read_manifest(self, attempt: str, port: str) -> Manifest | None:
        """Return the manifest of an output, ``None`` if it is missing or damaged."""
        data = self.datastore.read(_manifest_place(attempt, port))
        try:
            return None if data is None else Manifest.from_json(data)
        except DataError:
            return None

    def remember(self, pipeline: str, step: str, key: str) -> None:
        """Note which key a step had last. A note that cannot be written is only a warning in the log."""
        place, data = self._last(pipeline, step), json.dumps({"key": key}).encode()
        try:
            if self.datastore.read(place) != data:
                self.datastore.replace(place, data)
        except StoreError as error:
            _log.warning("The last key of step %s cannot be noted, so its next run is not explained: %s", step, error)

    def nearest(self, pipeline: str, step: str) -> ReuseRecord | None:
        """Return the last known record of a step, its outputs not verified: for explanations only."""
        data = self.datastore.read(self._last(pipeline, step))
        try:
            key = json.loads(data or b"{}")["key"]
            return self._read(key).record if isinstance(key, str) else None
        except (ValueError, KeyError, TypeError, StoreError):
            return None

    def keep_code(self, snapshot: Snapshot) -> None:
        """Keep the text files of a source folder; what cannot be kept is only a warning in the log."""
        try:
            self._texts.keep(snapshot)
        except StoreError as error:
            _log.warning("The source texts cannot be kept, so later changes of them are not shown: %s", error)

    def code_text(self, digest: str) -> str | None:
        """Return the text of a source file by its digest (``blake3:<hex>``), ``None`` if it was not kept."""
        return self._texts.text(digest)

    def _read(self, key: str) -> Found:
        data = self.datastore.read(self._place(key))
        if data is None:
            return Found(None)
        try:
            record = from_json(ReuseRecord, unseal(data))
        except ValueError as error:
            return Found(None, f"its reuse record was damaged ({error})")
        if record.schema_version != SCHEMA_VERSION:
            seen = f"schema {record.schema_version}, this version knows {SCHEMA_VERSION}"
            return Found(None, f"its reuse record was written by another version of airflow-mlpipe ({seen})")
        if record.key != key:
            return Found(None, "its reuse record belongs to another key")
        return Found(record)

    def _misplaced(self, attempt: str, port: str, output: DataRef) -> str:
        if output.datastore != self.datastore.name:
            return f"output {port} lies in datastore {output.datastore}, not in {self.datastore.name}"
        parts = output.path.split("/")
        inside = attempt.startswith(f"{self.prefix}/attempts/") and output.path.startswith(f"{attempt}/")
        if not inside or {"", ".", ".."} & set(parts):
            return f"output {port} lies outside of its attempt"
        return ""

    def _damage(self, attempt: str, port: str, output: DataRef) -> str:
        try:
            current = self.datastore.summary(output.path)
            if current == output.content:
                return ""
            if current is None:
                return f"output {port} was deleted"
            then = self.read_manifest(attempt, port)
            now = self.datastore.manifest(output.path)
        except (DataError, StoreError) as error:
            return f"output {port} cannot be read ({error})"
        return f"output {port} was damaged: {describe(output.content, then, now)}"

    def _place(self, key: str) -> str:
        return f"{self.prefix}/reuse/{segment(key)[:2]}/{segment(key)}.json"

    def _last(self, pipeline: str, step: str) -> str:
        return f"{self.prefix}/last/{segment(pipeline)}/{segment(step)}.json"


def _to_json(record: ReuseRecord) -> bytes:
    if not math.isfinite(record.seconds):
        raise StoreError(f"The result of step {record.step!r} cannot be published: seconds is {record.seconds}.")
    try:
        return seal(to_json(record))
    except ValueError as error:
        raise StoreError(f"The result of step {record.step!r} cannot be written as JSON: {error}.") from error


def _manifest_place(attempt: str, port: str) -> str:
    return f"{attempt}/{port}.manifest.json"
