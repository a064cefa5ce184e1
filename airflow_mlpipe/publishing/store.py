"""Where published pipelines lie: ``published/<name>/<version>.json`` and ``published-code/<digest>/``.

A version is taken by put-if-absent: of two that publish at once, each gets a version of its own, and none is ever
written twice.
"""

from __future__ import annotations

from pathlib import Path

from airflow_mlpipe.datastores.base import Datastore
from airflow_mlpipe.errors import ConfigError, DataError
from airflow_mlpipe.frozen import from_json, to_json
from airflow_mlpipe.publishing.base import PublishedPipeline
from airflow_mlpipe.publishing.names import checked_name
from airflow_mlpipe.storage import from_segment, seal, segment, unseal


class PublishedStore:
    """Keeps and finds published pipelines.

    :param datastore: where records and sources lie.
    :param prefix: folder in it, shared with all other records.
    """

    def __init__(self, datastore: Datastore, prefix: str = "mlpipe") -> None:
        self._datastore = datastore
        self._prefix = prefix

    def create(self, record: PublishedPipeline) -> bool:
        """Store a version; False if it is taken."""
        return self._datastore.create(self._key(record.name, record.version), seal(to_json(record)))

    def get(self, name: str, version: str) -> PublishedPipeline:
        """Return a version.

        :raises ConfigError: if there is none, naming those that there are.
        :raises DataError: if its record is damaged.
        """
        data = self._datastore.read(self._key(name, version))
        if data is None:
            known = ", ".join(self.versions(name)) or "none"
            raise ConfigError(f"There is no published pipeline {name}:{version}. Versions of {name}: {known}.")
        try:
            return from_json(PublishedPipeline, unseal(data))
        except ValueError as error:
            raise DataError(
                f"The record of {name}:{version} is damaged ({error}). Publish the pipeline as another version, or "
                f"restore {self._key(name, version)} from a backup."
            ) from None

    def names(self) -> list[str]:
        """Return the names of all published pipelines, sorted."""
        start = f"{self._prefix}/published/"
        return sorted({from_segment(key[len(start) :].split("/")[0]) for key in self._datastore.keys(start)})

    def versions(self, name: str) -> list[str]:
        """Return the versions of a pipeline; numbers in their order, then the others in theirs."""
        start = f"{self._prefix}/published/{segment(checked_name('pipeline', name))}/"
        found = (key[len(start) :] for key in self._datastore.keys(start))
        versions = [from_segment(file.removesuffix(".json")) for file in found if file.endswith(".json")]
        return sorted(versions, key=_order)

    def keep_code(self, digest: str, folder: Path) -> None:
        """Keep a source under its digest; one that is there already is left alone."""
        if folder.is_dir() and any(folder.iterdir()):
            self._datastore.upload(folder, self._code(digest))

    def fetch_code(self, digest: str, folder: Path) -> None:
        """Copy a source to a folder that does not exist yet.

        :raises DataError: if it is not there.
        """
        self._datastore.download(self._code(digest), folder)

    def _key(self, name: str, version: str) -> str:
        return f"{self._prefix}/published/{segment(name)}/{segment(version)}.json"

    def _code(self, digest: str) -> str:
        return f"{self._prefix}/published-code/{digest.rpartition(':')[2]}"


def _order(version: str) -> tuple[bool, int, str]:
    is_number = version.isdecimal()
    return not is_number, int(version) if is_number else 0, version
