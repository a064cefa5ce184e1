"""The texts of source files by content, so that an explanation can show the line that changed."""

from __future__ import annotations

from blake3 import blake3

from airflow_mlpipe.errors import StoreError
from airflow_mlpipe.snapshot import Snapshot
from airflow_mlpipe.storage import RecordStorage, segment

_MAX_BYTES = 1 << 20
_HEX = frozenset("0123456789abcdef")


class SourceTexts:
    """Keeps each UTF-8 file of at most 1 MiB once, under the digest of its bytes.

    :param storage: where they lie.
    :param prefix: folder in it.
    """

    def __init__(self, storage: RecordStorage, prefix: str) -> None:
        self._storage = storage
        self._prefix = prefix

    def keep(self, snapshot: Snapshot) -> None:
        """Keep the text files of a source folder; one look if all are there already."""
        marker = f"{self._prefix}/snapshots/{segment(snapshot.digest)}"
        if self._storage.read(marker) is not None:
            return
        for path, identity in snapshot.identity().items():
            place = self._place(identity)
            data = snapshot.read(path) if place else b""
            if place and _is_text(data):
                self._keep(place, data)
        self._storage.replace(marker, b"")

    def text(self, digest: str) -> str | None:
        """Return a text that was kept, ``None`` if it was not, or is damaged."""
        place = self._place(digest)
        try:
            data = self._storage.read(place) if place else None
        except StoreError:
            return None
        if data is None or _digest(data) != place.rpartition("/")[2]:
            return None
        return data.decode("utf-8", "replace")

    def _keep(self, place: str, data: bytes) -> None:
        """Store a text under its digest, unless the file changed after its digest was taken."""
        if _digest(data) == place.rpartition("/")[2] and not self._storage.create(place, data):
            self._storage.replace(place, data)

    def _place(self, identity: str) -> str:
        """Return where a file's text lies; empty for what has no digest, such as a symbolic link."""
        algorithm, _, digest = identity.removeprefix("x ").partition(":")
        if algorithm != "blake3" or len(digest) != 64 or not _HEX.issuperset(digest):
            return ""
        return f"{self._prefix}/{digest[:2]}/{digest}"


def _digest(data: bytes) -> str:
    return blake3(data).hexdigest()


def _is_text(data: bytes) -> bool:
    if len(data) > _MAX_BYTES or b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
