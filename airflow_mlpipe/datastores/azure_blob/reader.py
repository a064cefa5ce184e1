"""What lies at a path of a container, and what its bytes are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from blake3 import blake3

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.content.manifest import Kind
from airflow_mlpipe.datastores.azure_blob.container import BLOCK, Container, error_code
from airflow_mlpipe.datastores.azure_blob.etags import EtagMemo, Known
from airflow_mlpipe.datastores.azure_blob.fetch import fetch
from airflow_mlpipe.datastores.azure_blob.listing import (
    DIGEST_MARK,
    FOLDER_MARK,
    UPLOAD_MARK,
    Blob,
    list_blobs,
    list_pages,
    marks_of,
    plain_etag,
)
from airflow_mlpipe.datastores.azure_blob.proofs import Proof, Proofs
from airflow_mlpipe.datastores.lanes import Lanes
from airflow_mlpipe.datastores.paths import check_include
from airflow_mlpipe.errors import DataError

THREADS = 32
MEMORY = 96 << 20
_FEW = 16
"""Files that are asked for one by one; for more of them the whole folder is listed."""


@dataclass(frozen=True)
class Seen:
    """What a list says of a path.

    :param path: in the datastore.
    :param files: relative path to blob; for a single file its own name.
    :param empty: relative paths of folders without content.
    :param at_once: one answer of the service says all of it, so it was all there at one moment.
    """

    path: str
    kind: Kind
    files: Mapping[str, Blob]
    empty: tuple[str, ...] = ()
    at_once: bool = field(default=False, compare=False)


class Reader:
    """Looks at blobs and tells their content.

    :param container: the container.
    :param memo: what this machine knows.
    :param proofs: what the container knows.
    """

    def __init__(self, container: Container, memo: EtagMemo, proofs: Proofs) -> None:
        self._container = container
        self._memo = memo
        self._proofs = proofs

    def look(self, path: str, include: Sequence[str] | None = None) -> Seen | None:
        """Return what lies at a path, ``None`` if nothing does.

        :param path: without a slash at its end.
        :param include: only these files.
        :raises DataError: if a name cannot be a path, or one name is a file and a folder.
        """
        wanted = None if include is None else set(include)
        check_include(wanted or ())
        with self._container.errors("read", path):
            if wanted is not None and len(wanted) <= _FEW:
                return self._some(path, wanted)
            pages = list(list_pages(self._container, path))
            blobs = [blob for page in pages for blob in page if not blob.own]
            if blobs or not path:
                seen = replace(_folder(path, blobs), at_once=len(pages) == 1)
                return seen if wanted is None else _only(seen, wanted)
            return self._single(path, wanted)

    def manifest(self, seen: Seen) -> Manifest:
        """Return every file with its digest; what nobody knows the digest of is read.

        :raises DataError: if a blob changes meanwhile, or an upload to this path has not ended.
        """
        known = self.known(seen)
        rest = {path: blob for path, blob in seen.files.items() if blob.name not in known}
        if rest:
            with Lanes(THREADS, MEMORY) as lanes:
                futures = {}
                for path, blob in rest.items():
                    lanes.reserve(min(blob.size, 2 * BLOCK))
                    futures[path] = lanes.submit(min(blob.size, 2 * BLOCK), self._hash, blob)
            digests = {path: future.result() for path, future in futures.items()}
            self.learn(seen, digests)
            known |= {rest[path].name: (rest[path].etag, rest[path].size, digest) for path, digest in digests.items()}
        entries = [FileEntry(path, blob.size, known[blob.name][2]) for path, blob in seen.files.items()]
        return Manifest.of(entries, seen.empty, seen.kind)

    def known(self, seen: Seen) -> dict[str, Known]:
        """Return what is known of the blobs without reading them, by name.

        :raises DataError: if an upload to this path has not ended.
        """
        prefix = self._container.name_of(seen.path)
        known = _matching(seen, self._memo.below(self._container.identity, prefix))
        if len(known) == len(seen.files):
            return known
        proof = self._proofs.read(seen.path) if seen.path else None
        if proof is not None and not proof.whole:
            raise DataError(
                f"The upload to {seen.path!r} in {self._container.shown} has not ended or was cut off. Wait for it, do "
                f"it again (it goes on where it was), or remove what is there."
            )
        learnt = self._from_proofs(seen, known, [proof] if proof else [])
        if len(known) + len(learnt) < len(seen.files):
            learnt |= self._from_proofs(seen, known, self._proofs.around(seen.path))
        self._memo.learn(self._container.identity, learnt)
        return known | learnt

    def learn(self, seen: Seen, digests: Mapping[str, str]) -> None:
        """Remember digests that were taken of the bytes themselves, by relative path."""
        self.learn_all(
            {
                seen.files[path].name: (seen.files[path].etag, seen.files[path].size, digest)
                for path, digest in digests.items()
            }
        )

    def learn_all(self, blobs: Mapping[str, Known]) -> None:
        """Remember what is known of blobs, by name."""
        self._memo.learn(self._container.identity, blobs)

    def properties(self, path: str) -> Blob | None:
        """Return one blob, ``None`` if there is none."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - slow

        try:
            found = self._container.blob(path).get_blob_properties()
        except ResourceNotFoundError as error:
            if error_code(error) == "ContainerNotFound":
                raise
            return None
        marks = marks_of(found.metadata)
        folder = found.size == 0 and marks.get(FOLDER_MARK) == "true"
        name, etag = self._container.name_of(path), plain_etag(found.etag)
        return Blob(path, name, found.size, etag, folder, marks.get(DIGEST_MARK, ""), marks.get(UPLOAD_MARK, ""))

    def _single(self, path: str, wanted: set[str] | None) -> Seen | None:
        blob = self.properties(path)
        if blob is None:
            return None
        if blob.folder:
            return Seen(path, "folder", {}, at_once=True)
        name = path.rpartition("/")[2]
        return Seen(path, "file", {name: blob}, at_once=True) if wanted is None or name in wanted else None

    def _some(self, path: str, wanted: set[str]) -> Seen | None:
        """Ask for a few files by name."""
        names = sorted(wanted)
        with ThreadPoolExecutor(_FEW) as pool:
            found = pool.map(self.properties, [f"{path}/{name}" if path else name for name in names])
            files = {name: blob for name, blob in zip(names, found, strict=True) if blob and not blob.folder}
        if files or not path or any(True for _ in list_blobs(self._container, path, 1)):
            return Seen(path, "folder", files)
        return self._single(path, wanted)

    def _from_proofs(self, seen: Seen, known: Mapping[str, Known], proofs: Iterable[Proof]) -> dict[str, Known]:
        found: dict[str, Known] = {}
        for proof in proofs:
            found |= _matching(seen, proof.blobs)
        return {name: what for name, what in found.items() if name not in known}

    def _hash(self, blob: Blob) -> str:
        hasher = blake3()
        for offset in range(0, blob.size, BLOCK):
            hasher.update(fetch(self._container, blob, offset, min(BLOCK, blob.size - offset)))
        return f"blake3:{hasher.hexdigest()}"


def _matching(seen: Seen, known: Mapping[str, Known]) -> dict[str, Known]:
    found = {}
    for blob in seen.files.values():
        what = known.get(blob.name)
        if what is not None and what[:2] == (blob.etag, blob.size):
            found[blob.name] = what
    return found


def _folder(path: str, blobs: Sequence[Blob]) -> Seen:
    start = len(path) + 1 if path else 0
    odd = [blob.name for blob in blobs if blob.path is None]
    if odd:
        raise DataError(
            f"{len(odd)} of {len(blobs)} blobs in {path or 'the root'!r} have names that no file can have here: "
            f"{', '.join(map(repr, odd[:3]))}. Rename them, or keep them at another place."
        )
    files = {blob.path[start:]: blob for blob in blobs if blob.path and not blob.folder}
    marked = {blob.path[start:] for blob in blobs if blob.path and blob.folder}
    used = _folders(files) | _folders(marked)
    both = sorted(used & files.keys())
    if both:
        raise DataError(
            f"{both[0]!r} in {path or 'the root'!r} is a file and a folder at once, which no disk can hold. Rename one."
        )
    return Seen(path, "folder", dict(sorted(files.items())), tuple(sorted(marked - used)))


def _folders(paths: Iterable[str]) -> set[str]:
    """Return every folder above the paths."""
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _only(seen: Seen, wanted: set[str]) -> Seen:
    files = {path: blob for path, blob in seen.files.items() if path in wanted}
    return replace(seen, files=files, empty=())
