"""A large file that arrives in parts, in any order: hashed and written to the disk while the rest is on its way."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from blake3 import blake3

_BUFFER = 1 << 20
WRITE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Arrival:
    """The file. What has arrived without a gap from its begin is hashed as it was written, from the page cache.

    :param place: where nothing is yet.
    :param size: bytes, at least one.
    :param part: bytes of each part but the last.
    """

    def __init__(self, place: Path, size: int, part: int) -> None:
        self._file = os.open(place, os.O_RDWR | WRITE, 0o666)
        self._size = size
        self._part = part
        self._left = -(-size // part)
        self._landed: set[int] = set()
        self._lock = threading.Lock()
        self._hashing = threading.Lock()
        self._hasher = blake3()
        self._hashed = 0
        try:
            os.truncate(self._file, size)
        except BaseException:
            os.close(self._file)
            raise

    def write(self, data: bytes, offset: int) -> None:
        """Write bytes at their place."""
        write_at(self._file, data, offset)

    def land(self, offset: int) -> None:
        """Note that a part has been written, and hash what can be; the last part closes the file, which is on the disk.

        One thread hashes at a time; the others go on with their parts.
        """
        os.fdatasync(self._file)
        with self._lock:
            self._landed.add(offset)
            self._left -= 1
            last = not self._left
        while self._ready() and self._hashing.acquire(blocking=last):
            try:
                self._advance()
            finally:
                self._hashing.release()
        if last:
            os.fsync(self._file)
            self.close()

    @property
    def digest(self) -> str:
        """Of the whole file, once all parts have landed."""
        assert self._hashed == self._size
        return f"blake3:{self._hasher.hexdigest()}"

    def close(self) -> None:
        """Close the file; nothing happens if it is closed."""
        opened, self._file = self._file, -1
        if opened >= 0:
            os.close(opened)

    def _ready(self) -> bool:
        with self._lock:
            return self._hashed in self._landed

    def _advance(self) -> None:
        buffer = memoryview(bytearray(_BUFFER))
        while self._ready():
            end = min(self._hashed + self._part, self._size)
            position = self._hashed
            while position < end:
                count = os.preadv(self._file, [buffer[: end - position]], position)
                self._hasher.update(buffer[:count])
                position += count
            self._hashed = end


def write_at(file: int, data: bytes, offset: int) -> None:
    """Write all bytes at a place of a file."""
    view = memoryview(data)
    while view:
        count = os.pwrite(file, view, offset)
        view, offset = view[count:], offset + count
