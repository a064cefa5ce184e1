"""What is sent to a job before it starts: files by their SHA-256, laid out when all of them are there.

    <workdir>/.incoming/<key>/<sha256>

A sender that is cut off goes on where it ended: what has arrived whole is not sent again.
"""

from __future__ import annotations

import base64
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.far_side.desk import Desk
from airflow_mlpipe.compute.far_side.digests import file_digest
from airflow_mlpipe.compute.far_side.job_folder import remove_tree, valid_key

OLD = 86400.0
"""Seconds after which what was sent for a job is not waited for any more."""


class DamagedError(Exception):
    """Files are missing or not what they should be."""

    def __init__(self, digests: list[str]) -> None:
        super().__init__(", ".join(digests))
        self.digests = digests


class Delivery:
    """Takes in the files of jobs.

    :param desk: the jobs of the working folder.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def wanted(self, key: str, digests: list[str]) -> dict[str, Any]:
        """Return the folder to send to, and which files have not arrived yet."""
        folder = self._incoming(key)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return {"folder": str(folder), "missing": [digest for digest in digests if not (folder / digest).exists()]}

    def stage(
        self, key: str, spec: dict[str, Any], python: str, layout: list[list[Any]], small: dict[str, str]
    ) -> list[str]:
        """Lay out a job's folder from what has arrived, whole or not at all; nothing happens if it is there.

        :param layout: ``[path, "file", sha256, executable]``, ``[path, "link", target, False]`` or
            ``[path, "folder", "", False]``; paths are relative to the job's folder.
        :param small: SHA-256 to base64 of files that are sent along.
        :return: the files that are missing or damaged; then nothing was done.
        """
        source = self._incoming(key)
        try:
            self.desk.stage(key, spec, python, lambda folder: _lay_out(folder, layout, source, small))
        except DamagedError as error:
            return error.digests
        remove_tree(source)
        return []

    def remove(self, key: str) -> None:
        """Remove everything of a job that has ended, and what was sent for it in vain; see :meth:`Desk.remove`."""
        self.desk.remove(key)
        if valid_key(key):
            remove_tree(self._incoming(key))

    def clear(self, age: float = OLD) -> None:
        """Remove what was sent for jobs that nobody has staged since.

        :param age: seconds in which nothing has arrived for a job. A sender that goes on after that sends it all again.
        """
        for folder in self.desk.root.glob(".incoming/*"):
            with suppress(OSError):
                if time.time() - max(path.stat().st_mtime for path in (folder, *folder.iterdir())) > age:
                    remove_tree(folder)

    def _incoming(self, key: str) -> Path:
        if not valid_key(key):
            raise ValueError(f"{key!r} is no run key")
        return self.desk.root / ".incoming" / key


def _lay_out(folder: Path, layout: list[list[Any]], source: Path, small: dict[str, str]) -> None:
    bad = set()
    taken: set[str] = set()
    for path, kind, value, executable in layout:
        place = _inside(folder, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            place.mkdir(exist_ok=True)
        elif kind == "link":
            place.symlink_to(value)
        elif value in small:
            place.write_bytes(base64.b64decode(small[value]))
        else:
            _take(source / value, place, first=value not in taken)
            taken.add(value)
        if kind == "file" and not _is(place, value):
            with suppress(FileNotFoundError):
                (source / value).unlink()
            bad.add(value)
        elif executable:
            place.chmod(0o755)
    if bad:
        raise DamagedError(sorted(bad))


def _take(arrived: Path, place: Path, *, first: bool) -> None:
    """Give the job a file that has arrived; a second path of the same content gets a copy of its own."""
    if first:
        with suppress(OSError):
            os.link(arrived, place)
            return
    if arrived.exists():
        shutil.copyfile(arrived, place)


def _is(place: Path, digest: str) -> bool:
    return place.exists() and file_digest(place)[1] == digest


def _inside(folder: Path, path: str) -> Path:
    parts = path.split("/")
    if not path or path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} is no path inside a job's folder")
    place = folder.joinpath(*parts)
    if os.path.realpath(place.parent) != os.path.join(os.path.realpath(folder), *parts[:-1]):  # noqa: PTH118
        raise ValueError(f"{path!r} leads through a link")
    return place
