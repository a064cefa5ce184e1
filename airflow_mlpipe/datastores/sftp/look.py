"""What lies below a folder of a server, seen without reading one byte of it.

Links are followed as :mod:`airflow_mlpipe.content.walk` does: inside of the tree they count as what they lead to, and
one that leaves it, leads nowhere or leads around itself is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_mlpipe.content.manifest import Kind
from airflow_mlpipe.datastores.paths import OWN_FOLDER
from airflow_mlpipe.datastores.sftp.requests import Stat, entries, real_path, stat_of, to_bytes, to_text, within
from airflow_mlpipe.errors import DataError

if TYPE_CHECKING:
    import asyncssh

_AT_ONCE = 32
_OWN = OWN_FOLDER.encode()


@dataclass
class Seen:
    """What lies at a path.

    :param real: its path on the server, without links.
    :param files: relative path to what the server says of it; for a single file its own name.
    :param empty: relative paths of folders without content.
    """

    real: bytes
    kind: Kind
    files: dict[str, Stat] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)

    def place(self, path: str) -> bytes:
        """Return where a file of it lies on the server."""
        return self.real if self.kind == "file" else self.real.rstrip(b"/") + b"/" + to_bytes(path)


async def look(client: asyncssh.SFTPClient, real: bytes, name: str, wanted: set[str] | None, top: bool) -> Seen | None:
    """Return what lies at a real path, ``None`` if nothing does.

    :param name: of the file, if it is one.
    :param wanted: relative paths; only these files are looked at.
    :param top: it is the root, whose own folder does not count.
    :raises DataError: if something there is no data.
    """
    found = await stat_of(client, real)
    if found is None:
        return None
    if found.kind == "file":
        return Seen(real, "file", {name: found}) if wanted is None or name in wanted else None
    if found.kind != "folder":
        raise _odd(name)
    tree = _Tree(client, Seen(real, "folder"))
    await (tree.all(top) if wanted is None else tree.some(wanted))
    tree.seen.files = dict(sorted(tree.seen.files.items()))
    tree.seen.empty.sort()
    return tree.seen


async def list_files(client: asyncssh.SFTPClient, folder: bytes, top: bool) -> list[bytes]:
    """Return the relative paths of all plain files below a folder, none if it is not there; links are not followed."""
    import asyncssh  # noqa: PLC0415 - slow to import, and an extra

    found: list[bytes] = []

    async def enter(prefix: bytes) -> list[bytes]:
        try:
            names = await entries(client, folder + b"/" + prefix if prefix else folder)
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            return []
        found.extend(prefix + name for name, stat in names.items() if stat.kind == "file")
        own = {_OWN} if top and not prefix else set()
        return [prefix + name + b"/" for name, stat in names.items() if stat.kind == "folder" and name not in own]

    await _spread([b""], enter)
    return found


class _Tree:
    """One look at one tree."""

    def __init__(self, client: asyncssh.SFTPClient, seen: Seen) -> None:
        self._client = client
        self.seen = seen

    async def all(self, top: bool) -> None:
        """Take every file."""
        await _spread([(b"", (self.seen.real,))], lambda folder: self._enter(folder, top))

    async def some(self, wanted: Iterable[str]) -> None:
        """Take the files that are named, where they exist."""
        await _spread(sorted(wanted), self._take_one)

    async def _take_one(self, path: str) -> list[str]:
        real = await real_path(self._client, self.seen.place(path))
        if real is None:
            return []
        self._refuse_leaving(path, real)
        found = await stat_of(self._client, real)
        if found is not None and found.kind == "file":
            self.seen.files[path] = found
        elif found is not None and found.kind != "folder":
            raise _odd(path)
        return []

    async def _enter(self, folder: tuple[bytes, tuple[bytes, ...]], top: bool) -> list[tuple[bytes, tuple[bytes, ...]]]:
        """Take what is in a folder; return the folders in it, each with the real ones that it was reached through."""
        prefix, trail = folder
        names = await entries(self._client, self.seen.place(to_text(prefix)).rstrip(b"/"))
        if top and not prefix:
            names.pop(_OWN, None)
        if not names and prefix:
            self.seen.empty.append(to_text(prefix[:-1]))
        inner = []
        for name, stat in names.items():
            path = prefix + name
            if stat.kind == "folder":
                inner.append((path + b"/", trail))
            elif stat.kind == "link":
                inner += await self._follow(path, trail)
            else:
                self._take(path, stat)
        return inner

    def _take(self, path: bytes, stat: Stat) -> None:
        if stat.kind != "file":
            raise _odd(to_text(path))
        self.seen.files[to_text(path)] = stat

    async def _follow(self, path: bytes, trail: tuple[bytes, ...]) -> list[tuple[bytes, tuple[bytes, ...]]]:
        shown = to_text(path)
        full = self.seen.place(shown)
        real = await real_path(self._client, full)
        found = None if real is None else await stat_of(self._client, real)
        if real is not None:
            self._refuse_leaving(shown, real)
        if real is None or found is None:
            raise DataError(f"The link {shown!r} leads to nothing that can be read. Remove it or set it right.")
        if found.kind != "folder":
            self._take(path, found)
            return []
        around = await real_path(self._client, full.rpartition(b"/")[0])
        trail = (*trail, around or full)
        if any(within(real, step) for step in trail):
            raise DataError(f"The link {shown!r} leads to a folder around itself. Remove it.")
        return [(path + b"/", trail)]

    def _refuse_leaving(self, path: str, real: bytes) -> None:
        if not within(self.seen.real, real):
            raise DataError(
                f"The link {path!r} in {to_text(self.seen.real)!r} leads out of it, to {to_text(real)!r}. "
                "Copy the file to this place, or name its own folder as the input."
            )


async def _spread(first: list[Any], work: Callable[[Any], Awaitable[list[Any]]]) -> None:
    """Do the work for everything, and for everything that comes of it, many at once."""
    todo = first
    while todo:
        batch, todo = todo[:_AT_ONCE], todo[_AT_ONCE:]
        for further in await asyncio.gather(*map(work, batch)):
            todo += further


def _odd(path: str) -> DataError:
    return DataError(
        f"{path!r} is a pipe, socket or device. Only files, folders and links inside the tree can be data; remove it."
    )
