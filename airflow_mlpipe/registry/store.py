"""Named, numbered versions of datasets and models, kept in any record storage.

Under the prefix lie ``models/<name>/<version>.json`` and ``datasets/<name>/<version>.json``. A version is taken by
put-if-absent, so two steps that register at once get two numbers. A record that is damaged keeps its number:
numbers are never given twice.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Literal

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.errors import ConfigError, DataError, StoreError
from airflow_mlpipe.frozen import from_json, to_json
from airflow_mlpipe.registry.base import AssetKind, AssetVersion
from airflow_mlpipe.storage import RecordStorage, seal, unseal

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
_FOLDERS: dict[AssetKind, str] = {"model": "models", "dataset": "datasets"}
_FILE = re.compile(r"([0-9]{8,18})\.json")


class Registry:
    """Registers versions and finds them.

    :param storage: where the records lie.
    :param prefix: folder in it, shared with the reuse store and the run store.
    """

    def __init__(self, storage: RecordStorage, prefix: str = "mlpipe") -> None:
        self.storage = storage
        self.prefix = prefix

    def register(
        self,
        kind: AssetKind,
        name: str,
        data: DataRef,
        *,
        tags: Mapping[str, str] | None = None,
        lineage: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> AssetVersion:
        """Make the next version, unless the latest one has this very content: then return that one.

        :param kind: model or dataset.
        :param name: letters, digits, ``.``, ``_`` and ``-``, at most 255, as in Azure ML.
        :param data: where the content lies, and its digest.
        :raises ConfigError: if the name is not allowed.
        """
        while True:
            numbers = self._numbers(kind, name)
            latest = self._read(kind, name, max(numbers)) if numbers else None
            if isinstance(latest, AssetVersion) and latest.data.content == data.content:
                return latest
            new = AssetVersion(
                kind=kind,
                name=name,
                version=max(numbers, default=0) + 1,
                data=data,
                tags=dict(tags or {}),
                lineage=dict(lineage or {}),
                metrics=dict(metrics or {}),
                nonce=secrets.token_hex(16),
                created=datetime.now(timezone.utc),
            )
            if self.storage.create(self._key(kind, name, new.version), _to_json(new)):
                return new

    def get(self, kind: AssetKind, name: str, version: int | Literal["latest"] = "latest") -> AssetVersion | None:
        """Return a version, ``None`` if there is none.

        :raises ConfigError: if the name is not allowed.
        :raises DataError: if the record of this version is damaged. ``latest`` does not fall back to an older one.
        """
        number = max(self._numbers(kind, name), default=0) if version == "latest" else version
        found = self._read(kind, name, number)
        if isinstance(found, str):
            raise DataError(
                f"Version {number} of the {kind} {name!r} is damaged ({found}). Name another version, register it "
                f"again as a new one, or restore {self._key(kind, name, number)} from a backup."
            )
        return found

    def versions(self, kind: AssetKind, name: str) -> list[AssetVersion]:
        """Return all versions that can be read, the earliest first; damaged ones are passed over with a warning.

        :raises ConfigError: if the name is not allowed.
        """
        found = []
        for number in self._numbers(kind, name):
            version = self._read(kind, name, number)
            if isinstance(version, AssetVersion):
                found.append(version)
            elif version:
                _log.warning("Version %d of the %s %r is damaged (%s); it is passed over.", number, kind, name, version)
        return found

    def names(self, kind: AssetKind) -> list[str]:
        """Return the names of all models or datasets, sorted."""
        start = f"{self.prefix}/{_FOLDERS[kind]}/"
        rest = (key[len(start) :].split("/") for key in self.storage.keys(start))
        return sorted({parts[0] for parts in rest if len(parts) == 2 and _FILE.fullmatch(parts[1])})

    def assets(self) -> Iterator[AssetVersion]:
        """Yield every version of every model and dataset.

        :raises DataError: if a record is damaged: what it stands for cannot be known.
        """
        for kind in _FOLDERS:
            for name in self.names(kind):
                for number in self._numbers(kind, name):
                    found = self.get(kind, name, number)
                    if found is not None:
                        yield found

    def _numbers(self, kind: AssetKind, name: str) -> list[int]:
        start = self._folder(kind, name)
        matches = (_FILE.fullmatch(key[len(start) :]) for key in self.storage.keys(start))
        return sorted(int(match[1]) for match in matches if match)

    def _read(self, kind: AssetKind, name: str, number: int) -> AssetVersion | str | None:
        """Return a version, ``None``, or in words what is wrong with its record."""
        data = self.storage.read(self._key(kind, name, number))
        if data is None:
            return None
        try:
            found = from_json(AssetVersion, unseal(data))
        except ValueError as error:
            return str(error)
        if (found.kind, found.name, found.version) != (kind, name, number):
            return f"it says {found.kind} {found.name}:{found.version}"
        return found

    def _folder(self, kind: AssetKind, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"The {kind} name {name[:80]!r} is not allowed: 1 to 255 letters, digits, '.', '_' and '-', "
                f"beginning with a letter, digit or '_'."
            )
        return f"{self.prefix}/{_FOLDERS[kind]}/{name}/"

    def _key(self, kind: AssetKind, name: str, number: int) -> str:
        return f"{self._folder(kind, name)}{number:08d}.json"


def _to_json(version: AssetVersion) -> bytes:
    try:
        return seal(to_json(version))
    except ValueError as error:
        raise StoreError(
            f"Version {version.version} of {version.name!r} cannot be written as JSON: {error}."
        ) from error
