"""All that lies in a reuse store, for garbage collection: records, attempts, source texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from airflow_mlpipe.frozen import checked
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.reuse.store import SCHEMA_VERSION, ReuseStore
from airflow_mlpipe.storage import from_segment, unseal

_ATTEMPT = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{6})Z-[0-9a-f]{16}")
_DIGEST = re.compile(r"(?:x )?blake3:([0-9a-f]{64})")
_TEXT = re.compile(r"[0-9a-f]{2}/([0-9a-f]{64})")


@dataclass(frozen=True)
class StoredResult:
    """A reuse record as it lies there.

    :param place: its key in the storage.
    :param data: its bytes.
    :param record: ``None`` if it is damaged or of another version.
    :param attempt: id of its attempt, ``None`` if it cannot be known.
    :param foreign: it is whole, but another version of this package wrote it.
    """

    key: str
    place: str
    data: bytes
    record: ReuseRecord | None
    attempt: str | None
    foreign: bool = False


def stored_results(store: ReuseStore) -> Iterator[StoredResult]:
    """Yield every reuse record, whatever its state."""
    start = f"{store.prefix}/reuse/"
    for place in store.datastore.keys(start):
        data = store.datastore.read(place)
        if data is not None and place.endswith(".json"):
            yield _stored(store, place, data)


def _stored(store: ReuseStore, place: str, data: bytes) -> StoredResult:
    key = from_segment(place.rpartition("/")[2].removesuffix(".json"))
    try:
        document = json.loads(unseal(data))
        attempt = attempt_of(store, str(document["attempt"]))
    except (ValueError, KeyError, TypeError):
        return StoredResult(key, place, data, None, None)
    if document.get("schema_version") != SCHEMA_VERSION:
        return StoredResult(key, place, data, None, attempt, foreign=True)
    try:
        record = checked(ReuseRecord, document)
    except ValueError:
        return StoredResult(key, place, data, None, attempt)
    return StoredResult(key, place, data, record if record.key == key else None, attempt)


def attempt_of(store: ReuseStore, path: str) -> str | None:
    """Return the id of the attempt that a path of the datastore lies in, ``None`` if it lies in none."""
    start = f"{store.prefix}/attempts/"
    name = path[len(start) :].split("/")[0] if path.startswith(start) else ""
    return name if _ATTEMPT.fullmatch(name) else None


def begun(attempt: str) -> datetime:
    """Return when an attempt began; its id says so."""
    return datetime.strptime(attempt.partition("Z")[0], "%Y%m%dT%H%M%S.%f").replace(tzinfo=timezone.utc)


def attempts(store: ReuseStore) -> set[str]:
    """Return the ids of all attempts of which anything is there, also those that hold nothing but empty folders."""
    start = f"{store.prefix}/attempts/"
    found = {key[len(start) :].split("/")[0] for key in store.datastore.keys(start)}
    folder = getattr(store.datastore, "local_path", lambda _: None)(start.rstrip("/"))
    if folder is not None and folder.is_dir():
        found |= {entry.name for entry in folder.iterdir()}
    return {name for name in found if _ATTEMPT.fullmatch(name)}


def source_texts(store: ReuseStore) -> dict[str, str]:
    """Return the digest of every source text that is kept, and where it lies."""
    start = f"{store.prefix}/code/"
    matches = ((key, _TEXT.fullmatch(key[len(start) :])) for key in store.datastore.keys(start))
    return {match[1]: key for key, match in matches if match}


def flights(store: ReuseStore) -> dict[str, list[str]]:
    """Return what is left of every single flight, by reuse key."""
    start = f"{store.prefix}/flights/"
    found: dict[str, list[str]] = {}
    for place in store.datastore.keys(start):
        found.setdefault(from_segment(place[len(start) :].split("/")[0]), []).append(place)
    return found


def named_digests(part: object) -> set[str]:
    """Return the digests that the ``code`` part of an identity names."""
    values = part.values() if isinstance(part, dict) else ()
    matches = (_DIGEST.fullmatch(value) for value in values if isinstance(value, str))
    return {match[1] for match in matches if match}


def remove_texts(store: ReuseStore, places: Iterable[str]) -> None:
    """Remove source texts; those of a source folder that comes back are kept anew."""
    for marker in list(store.datastore.keys(f"{store.prefix}/code/snapshots/")):
        store.datastore.delete(marker)
    for place in places:
        store.datastore.delete(place)
