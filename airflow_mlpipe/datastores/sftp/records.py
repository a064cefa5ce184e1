"""The five record verbs over SFTP: whole or absent, and never through a symbolic link.

A record is written under ``.mlpipe/tmp`` and synced, and gets its name by a hard link, which fails if the name is
taken, or by a rename that replaces. Both are extensions of OpenSSH's server; one without them keeps no records, because
nothing else in the protocol is put-if-absent and whole at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_mlpipe.datastores.paths import folder_prefix, record_segments
from airflow_mlpipe.datastores.sftp.channel import LostConnectionError
from airflow_mlpipe.datastores.sftp.look import list_files
from airflow_mlpipe.datastores.sftp.requests import put, read_whole, to_text
from airflow_mlpipe.datastores.sftp.server import STAGING, MissingError, Server
from airflow_mlpipe.errors import StoreError

_TURNS = 8


class SFTPRecords:
    """Records in a folder of a server, see :class:`~airflow_mlpipe.storage.RecordStorage`.

    :param server: where they lie.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def read(self, key: str) -> bytes | None:
        """Return the value, or ``None`` if there is none."""
        record_segments(key)
        return self._read(key)

    def create(self, key: str, data: bytes) -> bool:
        """Store the value only if the key is free; True if the stored value is now ``data``."""
        record_segments(key)
        return self._server.channel.again(lambda: self._create(key, data))

    def replace(self, key: str, data: bytes) -> None:
        """Store the value, whatever was there before."""
        record_segments(key)
        self._server.channel.again(lambda: self._replace(key, data))

    def delete(self, key: str) -> bool:
        """Remove the value; False if there was none."""
        record_segments(key)
        found = self._server.stat(key) if self._plain(key) else None
        if found is None or found.kind != "file":
            return False
        place = self._server.place(key)
        self._server.do("deleted", key, lambda client: client.remove(place))
        self._server.sync_folder(key.rpartition("/")[0])
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield, sorted, every key that begins with ``prefix``."""
        folder = "/".join(folder_prefix(prefix))
        if not self._plain(folder):
            return
        place = self._server.place(folder)
        with self._server.errors("listed", folder):
            found = self._server.channel.look(lambda client: list_files(client, place, top=not folder))
        yield from sorted(prefix + to_text(name) for name in found)

    def _read(self, key: str) -> bytes | None:
        if self._server.root is None:
            return None
        place = self._server.place(key)
        with self._server.errors("read", key):
            found = self._server.channel.look(lambda client: read_whole(client, place))
        if isinstance(found, str):
            raise StoreError(f"{key!r} in {self._server.shown} {found}, which no record may. Move it away.")
        return found

    def _create(self, key: str, data: bytes) -> bool:
        for _ in range(_TURNS):
            there = self._read(key)
            if there is not None:
                return there == data
            if self._link(key, data):
                return True
        raise StoreError(f"{key!r} in {self._server.shown} comes and goes too often to be written. Try again.")

    def _link(self, key: str, data: bytes) -> bool:
        """Put the record; False if something is there by now."""
        try:
            self._put(key, data, replace=False)
        except LostConnectionError:
            raise
        except StoreError:
            if self._taken(key):
                return False
            raise
        return True

    def _replace(self, key: str, data: bytes) -> None:
        self._plain(key)
        try:
            self._put(key, data, replace=True)
        except LostConnectionError:
            raise
        except StoreError:
            self._taken(key)
            raise

    def _put(self, key: str, data: bytes, *, replace: bool) -> None:
        """Put the record where its folder is; the folders are made when it turns out that they are not there."""
        server = self._server
        for missing in (True, False):
            staged, place = server.place(server.fresh_name()), server.place(key)
            try:
                server.do("written", key, lambda client: put(client, staged, place, data, replace))  # noqa: B023 - at once
            except MissingError:
                if not missing:
                    raise
                server.make_folders(STAGING)
                server.make_folders(key.rpartition("/")[0])
            else:
                return

    def _taken(self, key: str) -> bool:
        """Whether a record is there.

        :raises StoreError: if it is a folder.
        """
        found = self._server.stat(key)
        if found is not None and found.kind == "folder":
            raise StoreError(
                f"{key!r} in {self._server.shown} cannot be written: a folder is where a file is needed; move it away."
            )
        return found is not None

    def _plain(self, path: str) -> bool:
        """Whether the folder of a record, or of records, is there.

        :raises StoreError: if a symbolic link is on the way.
        """
        real = self._server.real(path)
        if real not in (None, self._server.place(path)):
            raise StoreError(
                f"{path!r} in {self._server.shown} leads through a symbolic link, which no record may. Move it away."
            )
        return real is not None
