"""From this machine to a container: parallel, in bounded memory, verified, and taken up again where it was cut off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.content.digest import hash_entry
from airflow_mlpipe.content.walk import Tree, walk
from airflow_mlpipe.datastores.azure_blob.container import Container
from airflow_mlpipe.datastores.azure_blob.etags import Known
from airflow_mlpipe.datastores.azure_blob.listing import Blob, list_blobs
from airflow_mlpipe.datastores.azure_blob.names import name_fault
from airflow_mlpipe.datastores.azure_blob.proofs import Proof, Proofs
from airflow_mlpipe.datastores.azure_blob.reader import MEMORY, THREADS, Reader, Seen
from airflow_mlpipe.datastores.azure_blob.removal import remove_all
from airflow_mlpipe.datastores.azure_blob.send import Sender, put_mark
from airflow_mlpipe.datastores.base import Progress
from airflow_mlpipe.datastores.lanes import Lanes, counted
from airflow_mlpipe.datastores.paths import data_segments
from airflow_mlpipe.datastores.staging import taken
from airflow_mlpipe.errors import DataError, MLPipeError, StoreError


class Upload:
    """Copies a file or folder of this machine to a path.

    :param container: the container.
    :param reader: tells what lies there.
    :param proofs: what the container knows.
    """

    def __init__(self, container: Container, reader: Reader, proofs: Proofs) -> None:
        self._container = container
        self._reader = reader
        self._proofs = proofs

    def run(self, source: Path, path: str, progress: Progress | None) -> Manifest:
        """Copy to a path that nobody else uses; return the manifest of what was sent.

        :raises DataError: if nothing is at the source, it changes meanwhile, a name cannot be kept, or other content is
            at the path.
        """
        tree = walk(source)
        if tree is None:
            raise DataError(f"There is nothing at {source} to upload.")
        names = _names(tree, path)
        self._check_names([*names.values(), *(f"{path}/{folder}" for folder in tree.empty_folders)])
        with self._container.errors("written", path):
            there = {blob.path: blob for blob in list_blobs(self._container, path)}
            single = self._reader.properties(path)
        if tree.kind == "file":
            return self._file(tree, path, progress, there, single)
        if single is not None and not single.folder:
            raise taken(self._shown(path))
        return self._folder(tree, path, progress, there or ({path: single} if single else {}))

    def _file(
        self, tree: Tree, path: str, progress: Progress | None, there: Mapping[str | None, Blob], single: Blob | None
    ) -> Manifest:
        if there or (single and single.folder):
            raise taken(self._shown(path))
        if single:
            return self._same(tree, path)
        proof = self._proofs.fresh()
        with self._withdrawn([path], path):
            known = self._send(tree, {tree.files[0].path: path}, proof, progress)
        return self._done(tree, path, replace(proof, whole=True, blobs=known), {tree.files[0].path: path})

    def _folder(self, tree: Tree, path: str, progress: Progress | None, there: Mapping[str | None, Blob]) -> Manifest:
        proof = self._proofs.read(path)
        if there and (proof is None or proof.whole or any(_foreign(blob, proof) for blob in there.values())):
            return self._same(tree, path)
        names = _names(tree, path)
        marks = [f"{path}/{folder}" for folder in tree.empty_folders] or ([] if tree.files else [path])
        if there.keys() - set(names.values()) - set(marks):
            raise taken(self._shown(path))
        proof = proof if proof and there else self._proofs.begin(path)
        missing = {inner: place for inner, place in names.items() if place not in there}
        with self._withdrawn([*missing.values(), *marks], path):
            kept = self._kept(tree, {inner: there[place] for inner, place in names.items() if place in there})
            known = kept | self._send(tree, missing, proof, progress)
            for mark in marks:
                if mark not in there:
                    put_mark(self._container, mark, proof.upload)
            if walk(tree.root) != tree:
                raise DataError(
                    f"{tree.root!r} changed while it was copied. Wait until nobody writes to it, then try again."
                )
        return self._done(tree, path, replace(proof, whole=True, blobs=known), names)

    def _send(self, tree: Tree, names: Mapping[str, str], proof: Proof, progress: Progress | None) -> dict[str, Known]:
        """Send files, several at once; return what is then known of their blobs."""
        waiting: list[Callable[[], tuple[str, Known]]] = []
        with Lanes(THREADS, MEMORY) as lanes:
            sender = Sender(self._container, lanes, proof.upload, counted(progress))
            waiting += [sender.send(tree, file, names[file.path]) for file in tree.files if file.path in names]
            return dict(done() for done in waiting)

    def _kept(self, tree: Tree, there: Mapping[str, Blob]) -> dict[str, Known]:
        """Compare what an earlier try has sent with the files as they are now.

        The metadata of these blobs was written together with their bytes by that very upload, which nobody else knows
        the name of.
        """
        kept = {}
        for file in tree.files:
            blob = there.get(file.path)
            if blob is not None:
                if blob.size != file.size or blob.digest != hash_entry(tree, file).digest:
                    raise taken(self._shown(blob.path or ""))
                kept[blob.name] = (blob.etag, blob.size, blob.digest)
        return kept

    def _same(self, tree: Tree, path: str) -> Manifest:
        """Return what is there already if it is what was to be sent."""
        seen = self._reader.look(path)
        sizes = {file.path: file.size for file in tree.files}
        if seen is None or seen.kind != tree.kind or not _alike(seen, tree, sizes):
            raise taken(self._shown(path))
        manifest = self._reader.manifest(seen)
        if manifest.summary != tree.manifest([hash_entry(tree, file) for file in tree.files]).summary:
            raise taken(self._shown(path))
        return manifest

    def _done(self, tree: Tree, path: str, proof: Proof, names: Mapping[str, str]) -> Manifest:
        self._proofs.end(path, proof)
        self._reader.learn_all(proof.blobs)
        entries = []
        for file in tree.files:
            _etag, size, digest = proof.blobs[self._container.name_of(names[file.path])]
            shown = path.rpartition("/")[2] if tree.kind == "file" else file.path
            entries.append(FileEntry(shown, size, digest))
        return Manifest.of(entries, tree.empty_folders, tree.kind)

    def _check_names(self, paths: list[str]) -> None:
        """Refuse before the first byte what cannot be kept."""
        faults = []
        for path in paths:
            try:
                data_segments(path)
                fault = name_fault(self._container.name_of(path))
            except DataError as error:
                fault = str(error)
            if fault:
                faults.append(f"{path[-80:]!r}: {fault}")
        if faults:
            raise DataError(
                f"{len(faults)} of {len(paths)} names cannot be kept in {self._container.shown}, so nothing was sent. "
                f"Rename: {'; '.join(faults[:5])}"
            )

    def _withdrawn(self, places: list[str], path: str) -> _Withdrawn:
        return _Withdrawn(self._container, self._proofs, places, path)

    def _shown(self, path: str) -> str:
        return f"{path!r} in {self._container.shown}"


class _Withdrawn:
    """Removes what a failed upload has sent. What a broken network or a killed process leaves is taken up again."""

    def __init__(self, container: Container, proofs: Proofs, places: list[str], path: str) -> None:
        self._container = container
        self._proofs = proofs
        self._places = places
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, StoreError):
            return
        with suppress(MLPipeError):
            remove_all(self._container, self._places)
            self._proofs.forget(self._path)


def _names(tree: Tree, path: str) -> dict[str, str]:
    """Return where each file goes."""
    return {file.path: path if tree.kind == "file" else f"{path}/{file.path}" for file in tree.files}


def _foreign(blob: Blob, proof: Proof) -> bool:
    return blob.path is None or blob.upload != proof.upload


def _alike(seen: Seen, tree: Tree, sizes: Mapping[str, int]) -> bool:
    """Compare names and sizes, which costs no reading."""
    if tree.kind == "file":
        return [blob.size for blob in seen.files.values()] == list(sizes.values())
    return {name: blob.size for name, blob in seen.files.items()} == sizes and [*seen.empty] == tree.empty_folders
