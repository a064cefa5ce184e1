"""A folder of another machine as a datastore, reached by SFTP.

Records are single files. The content of data is known by reading all of it through the connection: the protocol tells
sizes, and times in whole seconds that anybody may set, and neither proves that bytes are the same. Who wants that to
be enough says ``identity: stat``. Why is in ``docs/decisions/171-sftp-believes-bytes.md``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from airflow_mlpipe.content import ContentSummary, Manifest
from airflow_mlpipe.content.markers import marker_of
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.datastores.paths import data_segments
from airflow_mlpipe.datastores.sftp.download import download
from airflow_mlpipe.datastores.sftp.reader import Reader
from airflow_mlpipe.datastores.sftp.records import SFTPRecords
from airflow_mlpipe.datastores.sftp.server import STAGING, Server
from airflow_mlpipe.datastores.sftp.settings import SFTPSettings, read_settings
from airflow_mlpipe.datastores.sftp.upload import Upload
from airflow_mlpipe.errors import DataError, StoreError

_STALE = 7 * 24 * 3600
"""Seconds after which an unfinished write is taken for one whose process died."""


class SFTPDatastore(SFTPRecords):
    """A folder of another machine, see :class:`~airflow_mlpipe.datastores.base.Datastore`.

    :param settings: where it is, and who we are.
    """

    keeps_any_name: Literal[True] = True

    def __init__(self, settings: SFTPSettings) -> None:
        super().__init__(Server(settings))
        self.name = settings.name
        self._reader = Reader(self._server)
        self._upload = Upload(self._reader)
        self._swept = False

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> SFTPDatastore:
        """Open the datastore that ``workspace.yml`` describes with ``type: sftp``.

        Nobody is connected to and asyncssh is not imported yet.

        :raises ConfigError: if a setting is unknown, missing or wrong.
        """
        return cls(read_settings(name, config, folder))

    def local_path(self, path: str) -> Path | None:
        """Return ``None``: it lies on another machine."""
        data_segments(path)
        return None

    def summary(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the content identity of a file or folder, ``None`` if nothing is there."""
        manifest = self.manifest(path, include)
        return manifest.summary if manifest else None

    def manifest(self, path: str, include: Sequence[str] | None = None) -> Manifest | None:
        """Return the full manifest of a file or folder, ``None`` if nothing is there. All of it is read."""
        seen = self._reader.look(path, include)
        if seen is None:
            return None
        manifest = self._reader.manifest(seen)
        self._reader.refuse_changed(path, include, seen)
        return manifest

    def marker(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the identity by names, sizes and times in seconds; no byte of data is read."""
        seen = self._reader.look(path, include)
        if seen is None:
            return None
        single = seen.kind == "file"
        facts: list[tuple[object, ...]] = [
            ("" if single else name, stat.size, stat.mtime) for name, stat in seen.files.items()
        ]
        facts += [(f"{folder}/", -1, 0) for folder in seen.empty]
        size = sum(stat.size for stat in seen.files.values())
        return ContentSummary(marker_of("stat:", facts, seen.kind), len(seen.files), size, seen.kind)

    def download(
        self, path: str, to: Path, include: Sequence[str] | None = None, progress: Progress | None = None
    ) -> Manifest:
        """Copy a file or folder to a local path that does not exist yet; return the manifest of what was written."""
        return download(self._reader, path, to, include, progress)

    def upload(self, source: Path, path: str, progress: Progress | None = None) -> Manifest:
        """Copy a local file or folder to a path that nobody else uses, and return its manifest."""
        inner = self._inner(path, "written")
        self._sweep()
        return self._upload.run(source, inner, progress)

    def remove(self, path: str) -> bool:
        """Delete a file or folder with all that is in it; it vanishes at once, its space is freed after that."""
        inner = self._inner(path, "removed")
        self._server.contained(inner.rpartition("/")[0])
        if self._server.stat(inner) is None:
            return False
        with self._server.staged() as doomed:
            source, place = self._server.place(inner), self._server.place(doomed)
            self._server.do("removed", path, lambda client: client.rename(source, place))
            self._server.sync_folder(inner.rpartition("/")[0])
        return True

    def _inner(self, path: str, action: str) -> str:
        segments = data_segments(path)
        if not segments:
            raise DataError(
                f"The root of datastore {self.name!r} cannot be {action} as a whole. Name a file or folder in it."
            )
        return "/".join(segments)

    def _sweep(self) -> None:
        """Remove, once per process, what processes that died a week ago left behind."""
        if self._swept:
            return
        self._swept = True
        with suppress(StoreError):
            for name, stat in self._server.entries(STAGING).items():
                if time.time() - stat.mtime > _STALE:
                    self._server.remove_tree(f"{STAGING}/{name}")
