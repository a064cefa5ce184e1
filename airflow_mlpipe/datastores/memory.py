"""A datastore in the memory of this process, for tests and dry runs: the same laws, nothing left behind."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from blake3 import blake3

from airflow_mlpipe.content import ContentSummary, FileEntry, Manifest
from airflow_mlpipe.content.markers import marker_of
from airflow_mlpipe.content.walk import Tree, walk
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.datastores.local_records import store_errors
from airflow_mlpipe.datastores.paths import check_include, data_segments, folder_prefix, record_segments
from airflow_mlpipe.datastores.settings import check_settings
from airflow_mlpipe.datastores.transfer import discard
from airflow_mlpipe.errors import DataError, StoreError


class MemoryDatastore:
    """Records and data in memory, see :class:`~airflow_mlpipe.datastores.base.Datastore`.

    Safe to use from many threads; other processes do not see it. It is a tree like a disk: a path is a file or a
    folder, never both. Jobs cannot reach it directly (:meth:`local_path` is ``None``), so their data is copied.

    :param name: the name under which the workspace knows it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.RLock()
        self._files: dict[str, bytes] = {}
        self._folders: set[str] = {""}

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> MemoryDatastore:  # noqa: ARG003 - same for all types
        """Open a fresh, empty datastore for ``{type: memory}``. Who wants to share one keeps it, as the workspace does.

        :raises ConfigError: if there is any other setting.
        """
        check_settings(name, config, ("type",))
        return cls(name)

    def read(self, key: str) -> bytes | None:
        """Return the value, or ``None`` if there is none."""
        record_segments(key)
        with self._lock:
            return self._files.get(key)

    def create(self, key: str, data: bytes) -> bool:
        """Store the value only if the key is free; True if the stored value is now ``data``."""
        segments = record_segments(key)
        with self._lock:
            if key not in self._files:
                self._write(segments, data)
            return self._files[key] == data

    def replace(self, key: str, data: bytes) -> None:
        """Store the value, whatever was there before."""
        segments = record_segments(key)
        with self._lock:
            self._write(segments, data)

    def delete(self, key: str) -> bool:
        """Remove the value; False if there was none."""
        record_segments(key)
        with self._lock:
            return self._files.pop(key, None) is not None

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield, sorted, every key that begins with ``prefix``."""
        folder_prefix(prefix)
        with self._lock:
            found = sorted(key for key in self._files if key.startswith(prefix))
        yield from found

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
        taken = self._take(path, include)
        return None if taken is None else _manifest(*taken)

    def marker(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the identity as a version mark of this store; ``None`` if nothing is there."""
        found = self.summary(path, include)
        if found is None:
            return None
        mark = marker_of("etag:", [("", found.digest)], found.kind)
        return ContentSummary(mark, found.files, found.size, found.kind)

    def download(
        self, path: str, to: Path, include: Sequence[str] | None = None, progress: Progress | None = None
    ) -> Manifest:
        """Copy a file or folder to a local path that does not exist yet; return the manifest of what was written."""
        taken = self._take(path, include)
        if to.exists() or to.is_symlink():
            raise DataError(f"{to} exists already, it is not overwritten. Name a path that does not exist yet.")
        if taken is None:
            raise DataError(f"There is nothing at {path!r} in datastore {self.name!r}.")
        files, empty, single = taken
        staged = to.parent / f".mlpipe-{secrets.token_hex(12)}.tmp"
        with store_errors("written", to):
            to.parent.mkdir(parents=True, exist_ok=True)
            try:
                if not single:
                    staged.mkdir()
                for folder in empty:
                    (staged / folder).mkdir(parents=True)
                for name, data in files.items():
                    place = staged if single else staged / name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(data)
                    if progress and data:
                        progress(len(data))
                staged.rename(to)
            finally:
                discard(staged)
        return _manifest({to.name: next(iter(files.values()))} if single else files, empty, single)

    def upload(self, source: Path, path: str, progress: Progress | None = None) -> Manifest:
        """Copy a local file or folder to a path that nobody else uses, and return its manifest."""
        segments = self._inner(path, "written")
        tree = walk(source)
        if tree is None:
            raise DataError(f"There is nothing at {source} to upload.")
        contents = _read_all(tree, progress)
        single = tree.kind == "file"
        named = dict(zip(segments[-1:], contents.values(), strict=True)) if single else contents
        sent = _manifest(named, tree.empty_folders, single)
        with self._lock:
            there = self.manifest(path)
            if there is not None and there.summary == sent.summary:
                return there
            if there is not None:
                raise DataError(
                    f"{path!r} exists already in datastore {self.name!r}, it is not overwritten. Remove it first."
                )
            if not single:
                self._make(segments)
            for name, data in contents.items():
                self._write(segments if single else (*segments, *name.split("/")), data)
            for folder in tree.empty_folders:
                self._make((*segments, *folder.split("/")))
        return sent

    def remove(self, path: str) -> bool:
        """Delete a file or folder with all that is in it; False if nothing was there."""
        whole = "/".join(self._inner(path, "removed"))
        with self._lock:
            before = len(self._files) + len(self._folders)
            self._files = {key: data for key, data in self._files.items() if not _within(whole, key)}
            self._folders = {folder for folder in self._folders if not _within(whole, folder)}
            return len(self._files) + len(self._folders) < before

    def _inner(self, path: str, action: str) -> tuple[str, ...]:
        segments = data_segments(path)
        if not segments:
            raise DataError(
                f"The root of datastore {self.name!r} cannot be {action} as a whole. Name a file or folder in it."
            )
        return segments

    def _take(self, path: str, include: Sequence[str] | None) -> tuple[dict[str, bytes], list[str], bool] | None:
        """Return the files below a path, its empty folders, and whether it is a single file."""
        segments = data_segments(path)
        whole = "/".join(segments)
        wanted = None if include is None else set(include)
        check_include(wanted or ())
        with self._lock:
            if whole in self._files:
                if wanted is not None and segments[-1] not in wanted:
                    return None
                return {segments[-1]: self._files[whole]}, [], True
            if whole not in self._folders:
                return None
            start = len(whole) + 1 if whole else 0
            inside = {key[start:]: data for key, data in self._files.items() if _within(whole, key)}
            folders = {folder[start:] for folder in self._folders if _within(whole, folder) and folder != whole}
        used = {name.rpartition("/")[0] for name in (*inside, *folders)}
        if wanted is not None:
            return {name: data for name, data in inside.items() if name in wanted}, [], False
        return inside, sorted(folders - used), False

    def _write(self, segments: tuple[str, ...], data: bytes) -> None:
        self._make(segments[:-1])
        if "/".join(segments) in self._folders:
            raise StoreError(
                f"{'/'.join(segments)!r} cannot be written: a folder is where a file is needed; move it away."
            )
        self._files["/".join(segments)] = bytes(data)

    def _make(self, segments: tuple[str, ...]) -> None:
        for end in range(1, len(segments) + 1):
            folder = "/".join(segments[:end])
            if folder in self._files:
                raise StoreError(f"{folder!r} cannot be a folder: a file is where a folder is needed; move it away.")
            self._folders.add(folder)


def _within(whole: str, path: str) -> bool:
    return not whole or path == whole or path.startswith(whole + "/")


def _manifest(files: Mapping[str, bytes], empty: Sequence[str], single: bool) -> Manifest:
    entries = [FileEntry(name, len(data), f"blake3:{blake3(data).hexdigest()}") for name, data in files.items()]
    return Manifest.of(entries, empty, "file" if single else "folder")


def _read_all(tree: Tree, progress: Progress | None) -> dict[str, bytes]:
    """Return the bytes of every file of a local tree as they were at one moment."""
    contents = {}
    for file in tree.files:
        with store_errors("read", tree.locate(file.path)):
            contents[file.path] = Path(tree.locate(file.path)).read_bytes()
        if progress and file.size:
            progress(file.size)
    again = walk(tree.root)
    if again is None or (again.files, again.empty_folders) != (tree.files, tree.empty_folders):
        raise DataError(f"{tree.root!r} changed while it was copied. Wait until nobody writes to it, then try again.")
    return contents
