"""What has to be sent for a job: where each file goes in the job's folder, and where its bytes come from."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.far_side import records
from airflow_mlpipe.compute.far_side.digests import file_digest
from airflow_mlpipe.compute.job_parts import Carried
from airflow_mlpipe.content.walk import walk
from airflow_mlpipe.errors import DataError
from airflow_mlpipe.snapshot import Snapshot

_SMALL = 64 * 1024
_SMALL_TOGETHER = 4 * 1024 * 1024
Entry = tuple[str, str, str, bool]
"""Path, kind, value, executable; see :meth:`Delivery.stage`."""


@dataclass
class Parcel:
    """The files of one job.

    :ivar layout: every file, link and folder.
    :ivar small: SHA-256 to base64 of files that go along with the question.
    :ivar large: SHA-256 to the file that is sent by itself.
    """

    layout: list[Entry] = field(default_factory=list)
    small: dict[str, str] = field(default_factory=dict)
    large: dict[str, Path] = field(default_factory=dict)
    _size: int = 0

    def put_bytes(self, path: str, data: bytes, *, executable: bool = False, source: Path | None = None) -> None:
        """Add a file whose bytes are known.

        :param source: where they can be read again; then a large file need not be held.
        """
        digest = hashlib.sha256(data).hexdigest()
        self.layout.append((path, "file", digest, executable))
        fits = len(data) <= _SMALL and self._size + len(data) <= _SMALL_TOGETHER
        if digest in self.small or digest in self.large:
            return
        if source is None or fits:
            self.small[digest] = base64.b64encode(data).decode("ascii")
            self._size += len(data)
        else:
            self.large[digest] = source

    def put_file(self, path: str, source: Path) -> None:
        """Add a file of this machine."""
        try:
            digest = file_digest(source)[1]
        except (OSError, ValueError) as error:
            raise DataError(f"The input file {source} cannot be read: {error}.") from None
        self.layout.append((path, "file", digest, False))
        if digest not in self.small:
            self.large[digest] = source


def pack(spec: JobSpec) -> Parcel:
    """Return all that a job needs where it runs; every byte is read once, to know its digest.

    :raises DataError: if something cannot be read or changed since it was looked at.
    """
    parcel = Parcel()
    for name, text in spec.files.items():
        parcel.put_bytes(f"{records.FILES}/{name}", text.encode("utf-8", "surrogateescape"))
    parcel.layout.append((records.CODE, "folder", "", False))
    if spec.code is not None:
        _put_code(parcel, spec.code)
    for item in spec.carried:
        if item.role == "input" and item.travels:
            _put_data(parcel, item)
    return parcel


def _put_code(parcel: Parcel, code: Snapshot) -> None:
    for file in code.files:
        path = f"{records.CODE}/{file.path}"
        if file.target is not None:
            parcel.layout.append((path, "link", file.target, False))
        else:
            parcel.put_bytes(path, code.read(file.path), executable=file.executable, source=file.source)


def _put_data(parcel: Parcel, item: Carried) -> None:
    top = f"{records.INPUTS}/{item.port}"
    tree = walk(item.here)
    if tree is None:
        raise DataError(f"input {item.port}: there is nothing at {item.here} any more.")
    if item.is_file:
        parcel.put_file(f"{top}/{item.here.name}", item.here)
        return
    parcel.layout.append((top, "folder", "", False))
    parcel.layout += [(f"{top}/{path}", "folder", "", False) for path in tree.empty_folders]
    for file in tree.files:
        parcel.put_file(f"{top}/{file.path}", Path(os.fsdecode(tree.locate(file.path))))
