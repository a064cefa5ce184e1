"""What lies at a path of a server, and what its bytes are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from blake3 import blake3

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.datastores.lanes import Lanes
from airflow_mlpipe.datastores.paths import check_include, data_segments
from airflow_mlpipe.datastores.sftp.look import Seen, look
from airflow_mlpipe.datastores.sftp.requests import Stat
from airflow_mlpipe.datastores.sftp.server import Server
from airflow_mlpipe.errors import DataError

THREADS = 8
"""Files that are read or written at once, all over one connection."""
PART = 8 << 20
"""Bytes that are asked for at once."""


class Reader:
    """Looks at data and tells their content; every byte comes through the connection.

    :param server: where the data lie.
    """

    def __init__(self, server: Server) -> None:
        self.server = server

    def look(self, path: str, include: Sequence[str] | None = None) -> Seen | None:
        """Return what lies at a path, ``None`` if nothing does.

        :raises DataError: if a link leads out, or something there is no data.
        """
        wanted = None if include is None else set(include)
        check_include(wanted or ())
        segments = data_segments(path)
        whole = "/".join(segments)
        real = self.server.contained(whole)
        if real is None:
            return None
        name = segments[-1] if segments else ""
        with self.server.errors("read", whole):
            return self.server.channel.look(lambda client: look(client, real, name, wanted, not segments))

    def manifest(self, seen: Seen) -> Manifest:
        """Read everything that was seen and return its manifest."""
        with Lanes(THREADS, THREADS * PART) as lanes:
            running = {}
            for name, stat in seen.files.items():
                lanes.reserve(PART)
                running[name] = lanes.submit(PART, self._digest, seen, name, stat)
        entries = [FileEntry(name, stat.size, running[name].result()) for name, stat in seen.files.items()]
        return Manifest.of(entries, seen.empty, seen.kind)

    def parts(self, seen: Seen, name: str, stat: Stat) -> Iterator[bytes]:
        """Yield the bytes of a file, all of the version that was seen.

        :raises DataError: if it changes meanwhile.
        """
        place = seen.place(name)
        for offset in range(0, stat.size, PART):
            yield self.server.read_part(name, place, offset, min(PART, stat.size - offset), stat)

    def refuse_changed(self, path: str, include: Sequence[str] | None, seen: Seen) -> None:
        """Look again.

        :raises DataError: if it is not what it was.
        """
        if self.look(path, include) != seen:
            raise DataError(f"{path!r} changed while it was read. Wait until nobody writes to it, then try again.")

    def _digest(self, seen: Seen, name: str, stat: Stat) -> str:
        hasher = blake3()
        for data in self.parts(seen, name, stat):
            hasher.update(data)
        return f"blake3:{hasher.hexdigest()}"
