"""An unfinished download beside its place, and the proof that it belongs to the same file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from blake3 import blake3

from airflow_mlpipe.datastores.https_client import Reply, shown
from airflow_mlpipe.datastores.transfer import discard
from airflow_mlpipe.errors import DataError

_BLOCK = 1 << 20
_PARTIAL = 206


class Part:
    """The bytes so far, in a hidden file beside the place, with the ETag that they came with.

    :param to: where the whole file goes.
    :param url: where it comes from.
    """

    def __init__(self, to: Path, url: str) -> None:
        self._to = to
        self._url = url
        stem = f".{blake3(url.encode()).hexdigest()[:16]}"
        self._data = to.with_name(f"{stem}.part")
        self._note = to.with_name(f"{stem}.etag")

    def headers(self) -> dict[str, str]:
        """Return what to ask for: the rest, if what is here came with a strong ETag that still holds."""
        etag, size = self._etag(), self._data.stat().st_size if self._data.is_file() else 0
        return {"Range": f"bytes={size}-", "If-Range": etag} if etag and size else {}

    def receive(self, reply: Reply, blocks: Iterable[bytes]) -> tuple[str, int]:
        """Write what comes, after what is here already, and return digest and size of the whole.

        :raises DataError: if the server breaks off (what came is kept for the next try) or sends another part.
        """
        self._to.parent.mkdir(parents=True, exist_ok=True)
        offset = self._offset(reply)
        self._note.write_text(json.dumps({"etag": reply.etag}))
        hasher, size = blake3(), 0
        with self._data.open("r+b" if offset else "wb") as file:
            while size < offset and (block := file.read(min(_BLOCK, offset - size))):
                hasher.update(block)
                size += len(block)
            for block in blocks:
                reply.limits.check(size + len(block), self._url)
                file.write(block)
                hasher.update(block)
                size += len(block)
            file.flush()
            os.fsync(file.fileno())
        if reply.size is not None and size != offset + reply.size:
            raise DataError(f"{shown(self._url)} broke off after {size} bytes. Retry: it goes on from there.")
        return hasher.hexdigest(), size

    def finish(self) -> None:
        """Give the whole file its name."""
        self._note.unlink(missing_ok=True)
        discard(self._to)
        self._data.rename(self._to)

    def _offset(self, reply: Reply) -> int:
        if reply.status != _PARTIAL:
            return 0
        size = self._data.stat().st_size
        if reply.range_start != size or reply.etag != self._etag():
            discard(self._data)
            raise DataError(f"{shown(self._url)} sent another part than was asked for. Retry: it begins anew.")
        return size

    def _etag(self) -> str | None:
        try:
            etag = json.loads(self._note.read_bytes())["etag"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return etag if isinstance(etag, str) else None
