"""Single requests to an SFTP server, as coroutines on its client; paths are bytes, absolute on the server."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import asyncssh

_READ, _WRITE, _NEW = 0x1, 0x2, 0x2 | 0x8 | 0x20
"""Flags of an open request: SSH_FXF_READ, _WRITE, and _WRITE with _CREAT and _EXCL."""
_KINDS = {1: "file", 2: "folder", 3: "link"}
_SELF = (b".", b"..")


class Stat(NamedTuple):
    """What the server says of a name.

    :param kind: ``file``, ``folder``, ``link`` or ``odd``.
    :param size: bytes.
    :param mtime: seconds; the protocol has no finer ones.
    """

    kind: str
    size: int
    mtime: int

    @classmethod
    def of(cls, attributes: asyncssh.SFTPAttrs) -> Stat:
        """Take what counts out of an answer."""
        return cls(_KINDS.get(attributes.type, "odd"), attributes.size or 0, int(attributes.mtime or 0))


def to_bytes(path: str) -> bytes:
    """Return the bytes of a path."""
    return path.encode("utf-8", "surrogateescape")


def to_text(path: bytes) -> str:
    """Return the text of a path."""
    return path.decode("utf-8", "surrogateescape")


def within(root: bytes, path: bytes) -> bool:
    """Whether a real path is a real folder or lies in it."""
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


async def stat_of(client: asyncssh.SFTPClient, place: bytes) -> Stat | None:
    """Return what is at a place, a link as a link; ``None`` if nothing is there."""
    import asyncssh  # noqa: PLC0415 - slow to import, and an extra

    try:
        return Stat.of(await client.lstat(place))
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return None


async def real_path(client: asyncssh.SFTPClient, place: bytes) -> bytes | None:
    """Return a path without links; ``None`` if its folder does not exist."""
    import asyncssh  # noqa: PLC0415 - as above

    try:
        return bytes(await client.realpath(place))
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return None


async def real_folder(client: asyncssh.SFTPClient, place: bytes) -> bytes | None:
    """Return the real path of a folder, ``None`` if it is none."""
    real = await real_path(client, place)
    found = None if real is None else await stat_of(client, real)
    return real if found is not None and found.kind == "folder" else None


async def entries(client: asyncssh.SFTPClient, folder: bytes) -> dict[bytes, Stat]:
    """Return what lies in a folder; links as links."""
    found = {entry.filename: Stat.of(entry.attrs) async for entry in client.scandir(folder)}
    return {name: stat for name, stat in found.items() if isinstance(name, bytes) and name not in _SELF}


async def _open(client: asyncssh.SFTPClient, place: bytes, flags: int) -> Any:
    """Open a file for bytes; asyncssh's types know text alone."""
    return await client.open(place, flags, encoding=None)


async def write_new(client: asyncssh.SFTPClient, place: bytes, data: bytes) -> None:
    """Write and sync a small file under a name that must be free."""
    async with await _open(client, place, _NEW) as stream:
        await stream.write(data)
        await _sync_stream(stream)


async def put(client: asyncssh.SFTPClient, staged: bytes, place: bytes, data: bytes, replace: bool) -> None:
    """Write a small file under a name of ours, then give it its place: of what is there, or only if nothing is."""
    import asyncssh  # noqa: PLC0415 - as above

    try:
        await write_new(client, staged, data)
        await (client.posix_rename(staged, place) if replace else client.link(staged, place))
    finally:
        with suppress(asyncssh.SFTPError):
            await client.remove(staged)
    with suppress(asyncssh.SFTPError):
        await sync(client, place.rpartition(b"/")[0])


async def touch(client: asyncssh.SFTPClient, place: bytes) -> None:
    """Make an empty file; one that is there already will do."""
    import asyncssh  # noqa: PLC0415 - as above

    try:
        async with await _open(client, place, _NEW):
            pass
    except asyncssh.SFTPFailure:
        found = await stat_of(client, place)
        if found is None or (found.kind, found.size) != ("file", 0):
            raise


async def write_part(client: asyncssh.SFTPClient, place: bytes, offset: int, data: bytes) -> None:
    """Write bytes into a file that is there."""
    async with await _open(client, place, _WRITE) as stream:
        await stream.write(data, offset)


async def sync(client: asyncssh.SFTPClient, place: bytes) -> Stat:
    """Make a file, or the names in a folder, durable where the server can; return what it says of it."""
    async with await _open(client, place, _READ) as stream:
        await _sync_stream(stream)
        return Stat.of(await stream.stat())


async def _sync_stream(stream: Any) -> None:
    import asyncssh  # noqa: PLC0415 - as above

    with suppress(asyncssh.SFTPOpUnsupported):
        await stream.fsync()


async def read_part(client: asyncssh.SFTPClient, place: bytes, offset: int, size: int, expected: Stat) -> bytes | None:
    """Return bytes of a file, ``None`` if it is not the expected one any more."""
    import asyncssh  # noqa: PLC0415 - as above

    try:
        async with await _open(client, place, _READ) as stream:
            if Stat.of(await stream.stat()) != expected:
                return None
            data = bytes(await stream.read(size, offset)) if size else b""
            return data if Stat.of(await stream.stat()) == expected else None
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return None


async def read_whole(client: asyncssh.SFTPClient, place: bytes) -> bytes | str | None:
    """Return the bytes of a small file, ``None`` if there is none, or what is wrong with the path.

    Whoever replaces the file meanwhile gives its name to another one, so what is open is one version of it.
    """
    import asyncssh  # noqa: PLC0415 - as above

    real, found = await real_path(client, place), await stat_of(client, place)
    if real not in (None, place):
        return "leads through a symbolic link"
    if found is None or found.kind == "folder":
        return None
    if found.kind != "file":
        return "is a pipe, socket or device"
    try:
        async with await _open(client, place, _READ) as stream:
            return bytes(await stream.read())
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return None


async def remove_tree(client: asyncssh.SFTPClient, place: bytes) -> None:
    """Delete a file or folder with all that is in it; links in it are deleted, not followed."""
    found = await stat_of(client, place)
    if found is None:
        return
    if found.kind != "folder":
        await client.remove(place)
        return
    for name in await entries(client, place):
        await remove_tree(client, place + b"/" + name)
    await client.rmdir(place)
