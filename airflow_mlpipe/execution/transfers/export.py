"""Writing data to a folder that is not ours: checked before the first byte, file by file, verified at the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from blake3 import blake3

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.datastores.base import Datastore, KeepsAnyName
from airflow_mlpipe.errors import DataError
from airflow_mlpipe.execution.transfers.merge import Layout
from airflow_mlpipe.execution.transfers.meter import Meter
from airflow_mlpipe.spec.step import OutputData
from airflow_mlpipe.workspace import Workspace

_URI = re.compile(r"azureml://datastores/([^/]+)/paths/(.+)")
_FILES_AT_ONCE = 8
_IN_MEMORY = 64 << 20
_SHOWN = 3


def destination(workspace: Workspace, output: OutputData) -> tuple[Datastore, str]:
    """Return the datastore and the folder that an output is exported to.

    :raises DataError: if it is no address in a datastore, or lies among the records of the workspace.
    """
    match = _URI.fullmatch(output.path or "")
    folder = match[2].strip("/") if match else ""
    if match is None or not folder:
        raise DataError(
            f"An export goes to a folder in a datastore, azureml://datastores/<name>/paths/<folder>, not {output.path}."
        )
    store = workspace.datastore(match[1])
    if match[1] == workspace.config.default_datastore and folder.split("/")[0] == workspace.reuse.prefix:
        raise DataError(
            f"{output.path} lies among the records of the workspace, where nobody else writes. Name another folder."
        )
    return store, folder


def exported(workspace: Workspace, output: OutputData) -> DataRef:
    """Return what lies at the destination of an export now.

    :raises DataError: if nothing does.
    """
    store, folder = destination(workspace, output)
    content = store.summary(folder)
    if content is None:
        raise DataError(f"Nothing lies at {output.path} any more. Retry when nobody removes what was exported.")
    return DataRef(store.name, folder, output.type, content)


@dataclass(frozen=True)
class Export:
    """What goes where.

    :param store: the destination's datastore.
    :param folder: in it.
    :param layout: what shall be there.
    :param roots: where each input lies on this machine; a file for a single file.
    :param mode: ``merge_with_overwrite``, ``fail_if_conflict`` or ``skip_existing``: what to do with a file that is
        there with other bytes. One with the right bytes is always left alone.
    """

    store: Datastore
    folder: str
    layout: Layout
    roots: Sequence[Path]
    mode: str | None

    def run(self, meter: Meter) -> tuple[int, int]:
        """Do it; asked again after a kill, it goes on.

        :returns: number of files that were written, and of those that were left as they are.
        :raises DataError: if a name cannot be kept there or a file is in conflict, before anything is written; if the
            source changes, or what was written does not read back.
        """
        self._check_names()
        there = self._there()
        missing = {path for path in self.layout.files if path not in there}
        differing = {
            path for path, (_, entry) in self.layout.files.items() if path in there and there[path] != entry.digest
        }
        self._refuse(sorted(differing))
        replaced = differing if self.mode != "skip_existing" else set()
        todo = sorted(missing | replaced)
        meter.skip(sum(entry.size for path, (_, entry) in self.layout.files.items() if path not in {*todo}))
        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            for _ in pool.map(lambda path: self._write(path, path in replaced, meter), todo):
                pass
        self._make_folders()
        self._verify(todo)
        return len(todo), len(self.layout.files) - len(todo)

    def _check_names(self) -> None:
        if isinstance(self.store, KeepsAnyName):
            return
        for path in (*self.layout.files, *self.layout.empty_folders):
            here = self.store.local_path(f"{self.folder}/{path}")
            if here is None and not path.isprintable():
                raise DataError(
                    f"The file name {path!r} holds characters that datastore {self.store.name!r} cannot keep. Nothing "
                    "was written; rename the file, or leave it out with 'exclude'."
                )

    def _there(self) -> dict[str, str]:
        manifest = self.store.manifest(self.folder, sorted(self.layout.files))
        if manifest is not None and manifest.kind == "file":
            raise DataError(f"{self.folder!r} in datastore {self.store.name!r} is a file; an export needs a folder.")
        return {} if manifest is None else {entry.path: entry.digest for entry in manifest.entries}

    def _refuse(self, differing: list[str]) -> None:
        if differing and self.mode == "fail_if_conflict":
            raise DataError(
                f"{len(differing)} files at {self.folder} in datastore {self.store.name} have other contents "
                f"({', '.join(differing[:_SHOWN])}) and data_copy_mode is fail_if_conflict. Nothing was written. Use "
                "merge_with_overwrite to replace them, or skip_existing to leave them."
            )

    def _write(self, path: str, replace: bool, meter: Meter) -> None:
        number, entry = self.layout.files[path]
        root, place = self.roots[number], f"{self.folder}/{path}"
        source = root if root.is_file() else root / entry.path
        if replace and entry.size <= _IN_MEMORY:
            data = source.read_bytes()
            if f"blake3:{blake3(data).hexdigest()}" != entry.digest:
                raise _changed(path)
            self.store.replace(place, data)
            meter(len(data))
            return
        if replace:
            self.store.remove(place)
        written = self.store.upload(source, place, meter)
        if written.entries[0].digest != entry.digest:
            self.store.remove(place)
            raise _changed(path)

    def _make_folders(self) -> None:
        if not self.layout.empty_folders:
            return
        manifest = self.store.manifest(self.folder)
        empty = set(manifest.empty_folders) if manifest else set()
        used = {entry.path for entry in manifest.entries} if manifest else set()
        for folder in sorted(self.layout.empty_folders - empty):
            if not any(path.startswith(f"{folder}/") for path in used):
                _upload_empty(self.store, f"{self.folder}/{folder}")

    def _verify(self, written: Sequence[str]) -> None:
        wanted = {path: self.layout.files[path][1] for path in written}
        found = self.store.manifest(self.folder, sorted(wanted)) if wanted else None
        there = {} if found is None else {entry.path: entry.digest for entry in found.entries}
        wrong = [path for path, entry in wanted.items() if there.get(path) != entry.digest]
        if wrong:
            raise DataError(
                f"{len(wrong)} of {len(wanted)} files do not read back from {self.folder} in datastore "
                f"{self.store.name} as they were written ({', '.join(wrong[:_SHOWN])}). Retry when nobody else writes "
                "there."
            )


def _upload_empty(store: Datastore, path: str) -> None:
    with TemporaryDirectory() as folder:
        store.upload(Path(folder), path)


def _changed(path: str) -> DataError:
    return DataError(f"{path!r} changed while it was copied. Retry when it is at rest.")
