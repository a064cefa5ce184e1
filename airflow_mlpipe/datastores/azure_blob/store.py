"""Azure Blob Storage as a datastore.

Records are single blobs. Data is found by one list of blobs; its digests come from what is known of their ETags (see
:mod:`~airflow_mlpipe.datastores.azure_blob.proofs`), never from what the service or the metadata says of the content.
Why is in ``docs/decisions/100-etags-not-metadata.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_mlpipe.content import ContentSummary, Manifest
from airflow_mlpipe.content.markers import marker_of
from airflow_mlpipe.content.remote import RemoteData
from airflow_mlpipe.datastores.azure_blob.adoption import Left, adopt
from airflow_mlpipe.datastores.azure_blob.container import Container
from airflow_mlpipe.datastores.azure_blob.download import Download
from airflow_mlpipe.datastores.azure_blob.etags import EtagMemo, default_place
from airflow_mlpipe.datastores.azure_blob.grants import Grants
from airflow_mlpipe.datastores.azure_blob.listing import list_blobs
from airflow_mlpipe.datastores.azure_blob.proofs import Proofs
from airflow_mlpipe.datastores.azure_blob.reader import Reader
from airflow_mlpipe.datastores.azure_blob.records import BlobRecords
from airflow_mlpipe.datastores.azure_blob.removal import remove_all
from airflow_mlpipe.datastores.azure_blob.settings import BlobSettings, read_settings
from airflow_mlpipe.datastores.azure_blob.upload import Upload
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.datastores.paths import data_segments
from airflow_mlpipe.errors import DataError


class AzureBlobDatastore(BlobRecords):
    """A container, or a part of one, see :class:`~airflow_mlpipe.datastores.base.Datastore`.

    :param settings: where it is, and who we are.
    :param memo: where this machine remembers digests; by default below ``$XDG_CACHE_HOME``.
    """

    def __init__(self, settings: BlobSettings, memo: Path | None = None) -> None:
        container = Container(settings)
        super().__init__(container)
        self.name = settings.name
        self._proofs = Proofs(container)
        self._reader = Reader(container, EtagMemo(memo or default_place()), self._proofs)
        self._upload = Upload(container, self._reader, self._proofs)
        self._download = Download(container, self._reader)
        self._grants = Grants(container)

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> AzureBlobDatastore:
        """Open the datastore that ``workspace.yml`` describes with ``type: azure_blob``.

        No request is made and nothing of Azure is imported yet.

        :raises ConfigError: if a setting is unknown, missing or wrong.
        """
        return cls(read_settings(name, config, folder))

    def place(self) -> str:
        """Return the address of all that this datastore holds, the same for every name and credential."""
        return f"{self._container.identity}/{self._container.name_of('')}"

    def local_path(self, path: str) -> Path | None:
        """Return ``None``: it lies in no file system."""
        data_segments(path)
        return None

    def summary(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the content identity of a file or folder, ``None`` if nothing is there."""
        manifest = self.manifest(path, include)
        return manifest.summary if manifest else None

    def manifest(self, path: str, include: Sequence[str] | None = None) -> Manifest | None:
        """Return the full manifest of a file or folder, ``None`` if nothing is there."""
        seen = self._reader.look("/".join(data_segments(path)), include)
        return self._reader.manifest(seen) if seen else None

    def marker(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the identity by the ETags of the blobs: one list, and no byte of data is read."""
        seen = self._reader.look("/".join(data_segments(path)), include)
        if seen is None:
            return None
        single = seen.kind == "file"
        facts: list[tuple[object, ...]] = [
            ("" if single else name, blob.size, blob.etag) for name, blob in seen.files.items()
        ]
        facts += [(f"{folder}/", -1, "") for folder in seen.empty]
        size = sum(blob.size for blob in seen.files.values())
        return ContentSummary(marker_of("etag:", facts, seen.kind), len(seen.files), size, seen.kind)

    def download(
        self, path: str, to: Path, include: Sequence[str] | None = None, progress: Progress | None = None
    ) -> Manifest:
        """Copy a file or folder to a local path that does not exist yet; return the manifest of what was written."""
        return self._download.run("/".join(data_segments(path)), to, include, progress)

    def upload(self, source: Path, path: str, progress: Progress | None = None) -> Manifest:
        """Copy a local file or folder to a path that nobody else uses, and return its manifest."""
        return self._upload.run(source, self._inner(path, "written"), progress)

    def remove(self, path: str) -> bool:
        """Delete a file or folder with all that is in it; False if nothing was there."""
        whole = self._inner(path, "removed")
        with self._container.errors("removed", path):
            names = [blob.path for blob in list_blobs(self._container, whole) if blob.path]
            if self._reader.properties(whole):
                names.append(whole)
        found = remove_all(self._container, names)
        self._proofs.forget(whole)
        return found

    def grant_read(self, path: str, include: Sequence[str] | None, seconds: float) -> RemoteData | None:
        """Return the right to read the files at a path; see :class:`~airflow_mlpipe.datastores.base.NodeAccess`."""
        seen = self._reader.look("/".join(data_segments(path)), include)
        if seen is None:
            raise DataError(f"There is nothing at {path!r} in {self._container.shown}.")
        return self._grants.read(seen, seconds)

    def grant_create(self, path: str, seconds: float, *, is_file: bool = False) -> RemoteData | None:
        """Return the right to create blobs at a path, and none to read or change any."""
        return self._grants.create(self._inner(path, "written"), seconds, is_file=is_file)

    def adopt(self, path: str, left: Left) -> Manifest:
        """Return the manifest of what a job has written, compared with what it says of it."""
        return adopt(self._container, self._reader, self._inner(path, "read"), left)

    def _inner(self, path: str, action: str) -> str:
        segments = data_segments(path)
        if not segments:
            raise DataError(
                f"The root of datastore {self.name!r} cannot be {action} as a whole. Name a file or folder in it."
            )
        return "/".join(segments)
