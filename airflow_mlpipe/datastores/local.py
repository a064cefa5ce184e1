"""The local datastore: a folder of this machine, or one that is mounted on every machine that needs it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow_mlpipe.content import ContentSummary, FileEntry, Manifest
from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.content.markers import stat_summary
from airflow_mlpipe.content.memo import SMALL_TREE, DigestMemo
from airflow_mlpipe.content.walk import walk
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.datastores.local_records import STAGING, LocalRecords, make_durably, store_errors, sync_folder
from airflow_mlpipe.datastores.paths import OWN_FOLDER, data_segments
from airflow_mlpipe.datastores.settings import check_settings
from airflow_mlpipe.datastores.staging import discarded, put_in_place, renamed, taken
from airflow_mlpipe.datastores.transfer import copy_tree, discard
from airflow_mlpipe.errors import ConfigError, DataError
from airflow_mlpipe.user_cache import user_cache

_SETTINGS = ("type", "path")
_STALE = 7 * 24 * 3600.0
"""Seconds after which an unfinished write is taken for one whose process died."""


class LocalDatastore(LocalRecords):
    """A folder with records and data, see :class:`~airflow_mlpipe.datastores.base.Datastore`.

    The folder ``.mlpipe`` at its root belongs to the datastore: unfinished writes and, if it can be written, the cache
    of digests. A root that is read-only works for reading, and then caches its digests in ``$XDG_CACHE_HOME``.

    :param name: the name under which the workspace knows it.
    :param root: its folder; created by the first write.
    :param memo: another digest cache than its own.
    """

    def __init__(self, name: str, root: str | os.PathLike[str], memo: DigestMemo | None = None) -> None:
        super().__init__(Path(os.path.abspath(Path(root).expanduser())))  # noqa: PTH100 - links stay as they are
        self.name = name
        self._memo = memo
        self._swept = False

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> LocalDatastore:
        """Open the datastore that ``workspace.yml`` describes as ``{type: local, path: ./store}``.

        :param folder: where a relative path starts.
        :raises ConfigError: if a setting is unknown, missing or not text.
        """
        check_settings(name, config, _SETTINGS)
        path = config.get("path")
        if not isinstance(path, str) or not path or "\0" in path:
            raise ConfigError(
                f"Datastore {name!r} needs 'path', the folder that it is. Write for example path: ./store."
            )
        try:
            expanded = Path(path).expanduser()
        except RuntimeError as error:
            raise ConfigError(
                f"Datastore {name!r}: the home folder in path {path!r} is not known. Write the path in full."
            ) from error
        return cls(name, folder / expanded)

    def local_path(self, path: str) -> Path:
        """Return where the data lies, or would lie; nothing is looked at but links on the way."""
        return self._place(path)

    def summary(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the content identity of a file or folder, ``None`` if nothing is there."""
        place = self._place(path)
        if place == self.root:
            manifest = self._whole(include)
            return manifest.summary if manifest else None
        return self._digests().summary(place, include)

    def manifest(self, path: str, include: Sequence[str] | None = None) -> Manifest | None:
        """Return the full manifest of a file or folder, ``None`` if nothing is there."""
        place = self._place(path)
        return self._whole(include) if place == self.root else self._digests().manifest(place, include)

    def marker(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the identity by names, sizes and times; ``None`` if nothing is there."""
        place = self._place(path)
        return stat_summary(place, include, without=OWN_FOLDER if place == self.root else None)

    def download(
        self, path: str, to: Path, include: Sequence[str] | None = None, progress: Progress | None = None
    ) -> Manifest:
        """Copy a file or folder to a local path that does not exist yet; return the manifest of what was written."""
        place = self._place(path)
        if os.path.lexists(to):
            raise DataError(f"{to} exists already, it is not overwritten. Name a path that does not exist yet.")
        if place == self.root and include is None:
            whole = self._whole(None)
            include = [entry.path for entry in whole.entries] if whole else None
        tree = walk(place, include)
        if tree is None:
            raise DataError(f"There is nothing at {path!r} in datastore {self.name!r} (looked for {place}).")
        staged = to.parent / f".mlpipe-{secrets.token_hex(12)}.tmp"
        with store_errors("written", to), discarded(staged):
            to.parent.mkdir(parents=True, exist_ok=True)
            manifest = copy_tree(tree, staged, include, progress)
            put_in_place(staged, to)
        return renamed(manifest, to.name)

    def upload(self, source: Path, path: str, progress: Progress | None = None) -> Manifest:
        """Copy a local file or folder to a path that nobody else uses, durably, and return its manifest."""
        place = self._writable(path, "written")
        tree = walk(source)
        if tree is None:
            raise DataError(f"There is nothing at {source} to upload.")
        if os.path.lexists(place):
            return self._same(source, place)
        staging = self.root.joinpath(*STAGING)
        staged = staging / f"{secrets.token_hex(12)}.data"
        with store_errors("written", place), discarded(staged):
            make_durably(staging)
            self._sweep(staging)
            manifest = copy_tree(tree, staged, None, progress)
            make_durably(place.parent)
            put_in_place(staged, place)
        return renamed(manifest, place.name)

    def remove(self, path: str) -> bool:
        """Delete a file or folder with all that is in it; it vanishes at once, its space is freed after that."""
        place = self._writable(path, "removed")
        if not os.path.lexists(place):
            return False
        staging = self.root.joinpath(*STAGING)
        doomed = staging / f"{secrets.token_hex(12)}.removed"
        with store_errors("removed", place):
            make_durably(staging)
            try:
                place.rename(doomed)
            except FileNotFoundError:
                return False
            sync_folder(place.parent)
            discard(doomed)
        return True

    def _same(self, source: Path, place: Path) -> Manifest:
        """Return what is there already if it is what was to be written."""
        there, here = self._digests().manifest(place), scan(source)
        if there is None or here is None or there.summary != here.summary:
            raise taken(place)
        return there

    def _place(self, path: str) -> Path:
        """Return the absolute path of data; the links on the way to it must stay inside the root."""
        place = self.root.joinpath(*data_segments(path))
        real, root = os.path.realpath(place), os.path.realpath(self.root)
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            raise DataError(
                f"The data path {path!r} leads through a symbolic link out of datastore {self.name!r}, to {real!r}. "
                f"Copy the data into the datastore, or make a datastore of that folder."
            )
        return place

    def _writable(self, path: str, action: str) -> Path:
        if not data_segments(path):
            raise DataError(
                f"The root of datastore {self.name!r} cannot be {action} as a whole. Name a file or folder in it."
            )
        return self._place("/".join((*data_segments(path)[:-1], ""))) / data_segments(path)[-1]

    def _whole(self, include: Sequence[str] | None) -> Manifest | None:
        """Return the manifest of the root without the datastore's own folder."""
        with store_errors("read", self.root):
            if not self.root.is_dir():
                return None
            names = sorted(entry.name for entry in os.scandir(self.root) if entry.name != OWN_FOLDER)
        entries: list[FileEntry] = []
        empty: list[str] = []
        for name in names:
            inner = (
                None
                if include is None
                else [path.partition("/")[2] or path for path in include if path.partition("/")[0] == name]
            )
            part = None if inner == [] else self._digests().manifest(self._place(name), inner)
            if part is None:
                continue
            folder = part.kind == "folder"
            entries += [
                FileEntry(f"{name}/{entry.path}", entry.size, entry.digest) if folder else entry
                for entry in part.entries
            ]
            empty += [f"{name}/{path}" for path in part.empty_folders]
            if folder and include is None and not part.entries and not part.empty_folders:
                empty.append(name)
        return Manifest.of(entries, empty)

    def _digests(self) -> DigestMemo:
        if self._memo is None:
            if not self.root.is_dir():
                return DigestMemo(None)
            self._memo = DigestMemo(self._memo_file(), smallest=SMALL_TREE)
        return self._memo

    def _memo_file(self) -> Path:
        folder = self.root / OWN_FOLDER
        with suppress(OSError):
            folder.mkdir(exist_ok=True)
        if folder.is_dir() and os.access(folder, os.W_OK):
            return folder / "digests.sqlite"
        return user_cache() / "digests.sqlite"

    def _sweep(self, staging: Path) -> None:
        """Remove, once per process, what processes that died a week ago left behind."""
        if self._swept:
            return
        self._swept = True
        for entry in list(os.scandir(staging)):
            with suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE:
                    discard(Path(entry.path))
