"""The folder of a datastore on its server: requests by path, in plain words when they fail, never out of the root.

Paths inside are text relative to the root, as everywhere; on the wire they are the bytes of that text, so a name that
is no UTF-8 comes back as it was.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from airflow_mlpipe.datastores.paths import OWN_FOLDER
from airflow_mlpipe.datastores.sftp.channel import Channel
from airflow_mlpipe.datastores.sftp.requests import (
    Stat,
    entries,
    read_part,
    real_folder,
    real_path,
    remove_tree,
    stat_of,
    sync,
    to_bytes,
    to_text,
    touch,
    within,
    write_part,
)
from airflow_mlpipe.datastores.sftp.settings import SFTPSettings
from airflow_mlpipe.errors import DataError, StoreError
from airflow_mlpipe.ssh import load_library

if TYPE_CHECKING:
    import asyncssh

_T = TypeVar("_T")
STAGING = "/".join((OWN_FOLDER, "tmp"))
"""Where unfinished writes lie, seen from the root."""


class MissingError(StoreError):
    """A file or folder that was to be used is not there."""


class Server:
    """Requests to the folder of a datastore. Safe to use from many threads.

    :param settings: where it is.
    """

    def __init__(self, settings: SFTPSettings) -> None:
        self.settings = settings
        self.channel = Channel(settings.ssh)
        self._root: bytes | None = None

    @property
    def shown(self) -> str:
        """What people call it."""
        return f"datastore {self.settings.name!r} ({self.settings.ssh.address}:{self.settings.path})"

    @property
    def root(self) -> bytes | None:
        """The real path of the root, ``None`` while it does not exist."""
        if self._root is None:
            self._root = self._ask("", lambda client: real_folder(client, to_bytes(self.settings.path)))
        return self._root

    def place(self, path: str) -> bytes:
        """Return the path on the server."""
        root = self.root or to_bytes(self.settings.path)
        return root if not path else root.rstrip(b"/") + b"/" + to_bytes(path)

    @contextmanager
    def errors(self, action: str, path: str) -> Iterator[None]:
        """Turn what the server refuses into an error in plain words.

        :param action: as a participle, ``read``.
        """
        asyncssh = load_library(self.settings.ssh.where)
        try:
            yield
        except asyncssh.SFTPOpUnsupported:
            raise StoreError(
                f"{path or 'The root'!r} in {self.shown} cannot be {action}: this needs hard links and renames that "
                f"replace (hardlink@openssh.com, posix-rename@openssh.com), which the server does not offer. It can "
                f"serve as a source of data and as a destination of new files; keep records on another datastore."
            ) from None
        except asyncssh.SFTPError as error:
            gone = isinstance(error, (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath))
            raise (MissingError if gone else StoreError)(
                f"{path or 'The root'!r} in {self.shown} cannot be {action}: the server says "
                f"'{error.reason}'. {_ADVICE.get(error.code, _USUAL_ADVICE)}"
            ) from None

    def stat(self, path: str) -> Stat | None:
        """Return what is at a path, a link as a link; ``None`` if nothing is there."""
        if self.root is None:
            return None
        place = self.place(path)
        return self._ask(path, lambda client: stat_of(client, place))

    def real(self, path: str) -> bytes | None:
        """Return a path without links, ``None`` if it does not exist; its last name need not exist."""
        if self.root is None:
            return None
        place = self.place(path)
        return self._ask(path, lambda client: real_path(client, place))

    def contained(self, path: str) -> bytes | None:
        """Return the real path of data, ``None`` if nothing is there.

        :raises DataError: if a link leads out of the root.
        """
        root, real = self.root, self.real(path)
        if root is not None and real is not None and not within(root, real):
            raise DataError(
                f"The data path {path!r} leads through a symbolic link out of {self.shown}, to {to_text(real)!r}. "
                f"Copy the data into the datastore, or make a datastore of that folder."
            )
        return real

    def make_root(self) -> None:
        """Create the root if it is not there."""
        if self.root is None:
            with self.errors("created", ""):
                self.channel.look(lambda client: client.makedirs(to_bytes(self.settings.path), exist_ok=True))

    def make_folders(self, path: str) -> None:
        """Create a folder and those above it; none of them may be a link out of the root."""
        self.make_root()
        if not path or self._is_folder(path):
            return
        self.make_folders(path.rpartition("/")[0])
        place = self.place(path)
        try:
            self.do("created", path, lambda client: client.mkdir(place))
        except StoreError:
            if not self._is_folder(path):
                raise
        self.sync_folder(path.rpartition("/")[0])

    def _is_folder(self, path: str) -> bool:
        real = self.contained(path)
        found = None if real is None else self._ask(path, lambda client: stat_of(client, real))
        if found is not None and found.kind != "folder":
            raise StoreError(
                f"{path!r} in {self.shown} cannot be a folder: a file is where a folder is needed; move it away."
            )
        return found is not None

    @staticmethod
    def fresh_name() -> str:
        """Return a path in the staging folder that nobody uses."""
        return f"{STAGING}/{secrets.token_hex(12)}"

    @contextmanager
    def staged(self) -> Iterator[str]:
        """Give a fresh name in the staging folder; what is there at the end is removed."""
        self.make_folders(STAGING)
        path = self.fresh_name()
        try:
            yield path
        finally:
            with suppress(StoreError):
                self.remove_tree(path)

    def create_file(self, path: str) -> None:
        """Make an empty file under a name of ours; that it is there already is no error."""
        place = self.place(path)
        self.channel.again(lambda: self.do("written", path, lambda client: touch(client, place)))

    def write_part(self, path: str, offset: int, data: bytes) -> None:
        """Write bytes into a file of ours; again, if the connection breaks off."""
        place = self.place(path)
        self.channel.again(lambda: self.do("written", path, lambda client: write_part(client, place, offset, data)))

    def sync_file(self, path: str) -> Stat:
        """Make a file durable where the server can, and return what it says of it."""
        place = self.place(path)
        return self.channel.again(lambda: self.do("written", path, lambda client: sync(client, place)))

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable where the server can."""
        with suppress(StoreError):
            self.sync_file(path)

    def read_part(self, path: str, real: bytes, offset: int, size: int, expected: Stat) -> bytes:
        """Return bytes of a file.

        :param real: its path without links.
        :param expected: what the server said of it before.
        :raises DataError: if it is not that file any more.
        """
        data = self._ask(path, lambda client: read_part(client, real, offset, size, expected))
        if data is None or len(data) != size:
            raise DataError(f"{path!r} changed while it was read. Wait until nobody writes to it, then try again.")
        return data

    def entries(self, path: str) -> dict[str, Stat]:
        """Return what lies in a folder; links as links."""
        place = self.place(path)
        found = self._ask(path, lambda client: entries(client, place))
        return {to_text(name): stat for name, stat in found.items()}

    def remove_tree(self, path: str) -> None:
        """Delete a file or folder with all that is in it; links in it are deleted, not followed."""
        place = self.place(path)
        self.channel.again(lambda: self.do("removed", path, lambda client: remove_tree(client, place)))

    def do(self, action: str, path: str, work: Callable[[asyncssh.SFTPClient], Awaitable[_T]]) -> _T:
        """Do requests that change something, once."""
        with self.errors(action, path):
            return self.channel.call(work)

    def _ask(self, path: str, work: Callable[[asyncssh.SFTPClient], Awaitable[_T]]) -> _T:
        with self.errors("read", path):
            return self.channel.look(work)


_USUAL_ADVICE = "Look at the rights, the free space and the quota there."
_ADVICE = {
    3: "Give that user the rights to it, or name another path for the datastore.",
    5: "A name may be too long for that machine; use shorter ones.",
}
