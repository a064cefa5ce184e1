"""Files between this machine and a host, several at once; what has arrived whole is not moved again."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import asyncssh

from airflow_mlpipe.compute.far_side.digests import file_digest
from airflow_mlpipe.compute.ssh.link import Link, LinkLostError
from airflow_mlpipe.errors import DataError, TransientComputeError

_AT_ONCE = 8
_CHUNK = 4 * 1024 * 1024
_PART = ".mlpipe-part-"


async def send(link: Link, folder: str, files: Mapping[str, Path]) -> None:
    """Send files into a folder of the host, each under its digest; each appears when it is whole.

    :raises LinkLostError: if the connection ends; what was sent stays.
    :raises DataError: if a file cannot be read here.
    """

    async def one(digest: str, source: Path) -> None:
        temporary = f"{folder}/{_PART}{secrets.token_hex(8)}"
        try:
            await _upload(link.sftp, source, temporary)
            await link.sftp.posix_rename(temporary, f"{folder}/{digest}")
        except asyncssh.SFTPNoSuchFile:
            return  # the folder is gone: somebody else has laid out this job; the next question says so

    await _all((lambda d=digest, s=source: one(d, s)) for digest, source in files.items())  # type: ignore[misc]


async def fetch(link: Link, there: str, here: Path, digests: Mapping[str, Any]) -> None:
    """Make a file or folder of this machine what the host has, by its digests; what is right already stays.

    :param there: path on the host.
    :param here: path here, ours alone; what does not belong to it is removed.
    :param digests: relative path (empty for a file) to size and SHA-256; of an empty folder nothing.
    :raises LinkLostError: if the connection ends; what was fetched stays.
    :raises DataError: if the digests are none, or what arrived is something else.
    :raises TransientComputeError: if it cannot be written here.
    """
    wanted = {path: _checked(path, value) for path, value in digests.items()}
    try:
        missing = await asyncio.to_thread(_prepare, here, wanted)
        await _all(
            (lambda p=path, f=file: _one(link, f"{there}/{p}" if p else there, here / p if p else here, f))  # type: ignore[misc]
            for path, file in missing.items()
        )
    except OSError as error:
        raise TransientComputeError(f"The output cannot be written to {here}: {error.strerror or error}.") from error


async def _one(link: Link, there: str, here: Path, wanted: tuple[int, str]) -> None:
    part = here.with_name(f"{_PART}{wanted[1][:16]}-{secrets.token_hex(4)}")
    try:
        await _download(link.sftp, there, part, wanted[0])
        if await asyncio.to_thread(file_digest, part) != wanted:
            raise DataError(
                f"The copy of {there} is not what the job left when it ended: somebody changed it since, or it was "
                "damaged on its way. Run the step again."
            )
        part.replace(here)
    except asyncssh.SFTPNoSuchFile:
        raise DataError(
            f"The output {there} was there when the job ended and is gone now. Run the step again."
        ) from None
    finally:
        part.unlink(missing_ok=True)


async def _upload(sftp: asyncssh.SFTPClient, source: Path, there: str) -> None:
    with source.open("rb") as stream:
        remote = await sftp.open(there, "wb")
        try:
            offset = 0
            while data := stream.read(_CHUNK):
                await remote.write(data, offset)
                offset += len(data)
        finally:
            await _close(remote)


async def _download(sftp: asyncssh.SFTPClient, there: str, here: Path, size: int) -> None:
    """Read a file of the host, but no more than it should hold."""
    with here.open("wb") as stream:
        remote = await sftp.open(os.fsencode(there), "rb")
        try:
            offset = 0
            while offset < size and (data := await remote.read(min(_CHUNK, size - offset), offset)):
                stream.write(cast("bytes", data))
                offset += len(data)
            if offset == size and await remote.read(1, offset):
                stream.write(b"more")
        finally:
            await _close(remote)


async def _close(remote: asyncssh.SFTPClientFile) -> None:
    """Close a file of the host; if that fails, what went before has failed too, or the digest tells."""
    with suppress(asyncssh.Error, OSError):
        await remote.close()


async def _all(works: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Do all, a few at once; after one that fails no other is begun.

    Those that run are not cancelled: asyncssh would leave their requests behind.
    """
    gate = asyncio.Semaphore(_AT_ONCE)
    failed: list[BaseException] = []

    async def gated(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with gate:
            if not failed:
                try:
                    await work()
                except BaseException as error:  # noqa: BLE001 - raised below, for all
                    failed.append(error)

    await asyncio.gather(*(gated(work) for work in works))
    if failed:
        raise _plain(failed[0])


def _plain(error: BaseException) -> BaseException:
    lost = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError, ConnectionError)
    if isinstance(error, lost):
        return LinkLostError(f"The connection ended while files were moved: {error}.")
    if isinstance(error, asyncssh.SFTPError):
        return TransientComputeError(f"Files cannot be moved: {error.reason}. Check rights and space there.")
    return error


def _checked(path: str, value: Any) -> tuple[int, str] | None:
    """Return size and digest; the host's word for a path is not believed."""
    parts = path.rstrip("/").split("/") if path else []
    if path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise DataError(f"The host names the output file {path!r}, which is no path inside an output.")
    if path.endswith("/"):
        return None
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], int) and isinstance(value[1], str)):
        raise DataError(f"The host says of the output file {path!r} nothing that can be checked.")
    return value[0], value[1]


def _prepare(here: Path, wanted: Mapping[str, tuple[int, str] | None]) -> dict[str, tuple[int, str]]:
    """Remove what does not belong, make the folders, and return the files that are missing."""
    if "" in wanted:
        here.parent.mkdir(parents=True, exist_ok=True)
        if here.is_dir() and not here.is_symlink():
            shutil.rmtree(here)
        return _missing(here, wanted)
    if here.is_symlink() or here.is_file():
        here.unlink()
    here.mkdir(parents=True, exist_ok=True)
    folders = {here / path for path in wanted if path.endswith("/")}
    files = {here / path for path, value in wanted.items() if value is not None}
    kept = {parent for place in folders | files for parent in place.parents} | folders | files
    for root, names, others in os.walk(here, topdown=False):
        for name in [*names, *others]:
            place = Path(root, name)
            if place not in kept or place.is_symlink():
                shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
    for folder in folders | {place.parent for place in files}:
        folder.mkdir(parents=True, exist_ok=True)
    return _missing(here, wanted)


def _missing(here: Path, wanted: Mapping[str, tuple[int, str] | None]) -> dict[str, tuple[int, str]]:
    return {
        path: value
        for path, value in wanted.items()
        if value is not None and not _is(here / path if path else here, value)
    }


def _is(place: Path, wanted: tuple[int, str]) -> bool:
    if not place.is_file() or place.is_symlink():
        return False
    return place.stat().st_size == wanted[0] and file_digest(place) == wanted
