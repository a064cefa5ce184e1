"""Small records in a folder tree: whole or absent, durable, and never through a symbolic link.

Every folder on the way is opened relative to the one before it and without following links, so nothing that somebody
swaps in between can lead out of the root. A record is written under ``.mlpipe/tmp`` first, synced, and then linked or
renamed into its place; the folder is synced after that.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow_mlpipe.datastores.paths import OWN_FOLDER, folder_prefix, record_segments
from airflow_mlpipe.errors import StoreError

STAGING = (OWN_FOLDER, "tmp")
"""Where unfinished writes lie, seen from the root."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_ADVICE = {
    errno.ENOSPC: "Free some space on that disk, then retry.",
    errno.EDQUOT: "Free some of the user's quota, then retry.",
    errno.EFBIG: "The file is larger than this process may write; raise the limit (ulimit -f), then retry.",
    errno.EIO: "The disk reports a fault; look at the system log before anything else is written there.",
    errno.EACCES: "Give the user of this process the rights to it, or name another path for the datastore.",
    errno.EPERM: "The file system refuses it (hard links are needed here); name another path for the datastore.",
    errno.EOPNOTSUPP: "The file system has no hard links, which are needed here; name another path for the datastore.",
    errno.EROFS: "The file system is read-only; name a writable path for the datastore.",
    errno.EMFILE: "Too many files are open; raise the limit (ulimit -n), then retry.",
    errno.ENOTDIR: "A file is where a folder is needed; move it away.",
    errno.EISDIR: "A folder is where a file is needed; move it away.",
    errno.ELOOP: "A symbolic link is in the way; make the datastore's path the real place.",
    errno.EXDEV: "It lies on another file system than the datastore's root; give that place a datastore of its own.",
    errno.ENAMETOOLONG: "The path is too long for the file system; use a datastore with a shorter path.",
}


@contextmanager
def store_errors(action: str, place: Path | str) -> Iterator[None]:
    """Turn what the operating system refuses into a :class:`StoreError` that names the place and what to do.

    :param action: what was tried, as in "cannot be <action>".
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Correct that, then retry.")
        reason = error.strerror or str(error)
        raise StoreError(f"{place} cannot be {action}: {reason}. {advice}") from error


class LocalRecords:
    """The five record verbs on a folder, see :class:`~airflow_mlpipe.storage.RecordStorage`.

    :param root: absolute path of the folder; created by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, key: str) -> bytes | None:
        """Return the value, or ``None`` if there is none."""
        *folders, name = record_segments(key)
        with store_errors("read", self.root / key), self._folder(tuple(folders)) as parent:
            try:
                return None if parent is None else _read(parent, name)
            except (FileNotFoundError, IsADirectoryError):
                return None

    def create(self, key: str, data: bytes) -> bool:
        """Store the value only if the key is free; True if the stored value is now ``data``."""
        *folders, name = record_segments(key)
        with store_errors("written", self.root / key), self._new_folder(tuple(folders)) as parent:
            while True:
                try:
                    won = _read(parent, name) == data
                    break
                except FileNotFoundError:
                    pass
                with self._staged(data) as (staging, staged), suppress(FileExistsError):
                    os.link(staged, name, src_dir_fd=staging, dst_dir_fd=parent)
                    won = True
                    break
            if won:
                os.fsync(parent)
            return won

    def replace(self, key: str, data: bytes) -> None:
        """Store the value, whatever was there before."""
        self.replace_all({key: data})

    def replace_all(self, records: Mapping[str, bytes]) -> None:
        """Store several values as :meth:`replace` does; each record is synced, and each folder once after its last."""
        for folders, named in _by_folder(records).items():
            place = self.root.joinpath(*folders)
            with store_errors("written", place / next(iter(named))), self._new_folder(folders) as parent:
                for name, data in named.items():
                    self._put(data, parent, place / name)
                os.fsync(parent)

    def delete(self, key: str) -> bool:
        """Remove the value; False if there was none."""
        *folders, name = record_segments(key)
        with store_errors("deleted", self.root / key), self._folder(tuple(folders)) as parent:
            if parent is None:
                return False
            try:
                os.unlink(name, dir_fd=parent)
            except (FileNotFoundError, IsADirectoryError):
                return False
            os.fsync(parent)
            return True

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield, sorted, every key that begins with ``prefix``."""
        segments = folder_prefix(prefix)
        with store_errors("listed", self.root / prefix), self._folder(segments) as start:
            found = [] if start is None else sorted(_walk(self.root.joinpath(*segments), prefix))
        yield from found

    def _put(self, data: bytes, parent: int, place: Path) -> None:
        with store_errors("written", place), self._staged(data) as (staging, staged):
            os.rename(staged, place.name, src_dir_fd=staging, dst_dir_fd=parent)

    @contextmanager
    def _folder(self, segments: tuple[str, ...]) -> Iterator[int | None]:
        opened = self._open(segments, make=False)
        try:
            yield opened
        finally:
            if opened is not None:
                os.close(opened)

    @contextmanager
    def _new_folder(self, segments: tuple[str, ...]) -> Iterator[int]:
        opened = self._open(segments, make=True)
        if opened is None:
            raise FileNotFoundError(errno.ENOENT, "it vanished while it was used", str(self.root))
        try:
            yield opened
        finally:
            os.close(opened)

    def _open(self, segments: tuple[str, ...], *, make: bool) -> int | None:
        """Open a folder below the root; ``None`` if it, or a folder above it, is not there."""
        if make:
            make_durably(self.root)
        try:
            current = os.open(self.root, _FOLDER)
        except FileNotFoundError:
            return None
        try:
            for segment in segments:
                following = _step(current, segment, make=make)
                os.close(current)
                current = following
        except FileNotFoundError:
            os.close(current)
            return None
        except BaseException:
            os.close(current)
            raise
        return current

    @contextmanager
    def _staged(self, data: bytes) -> Iterator[tuple[int, str]]:
        """Write and sync a file in the staging folder; it is gone at the end unless it was renamed."""
        name = f"{secrets.token_hex(12)}.record"
        with self._new_folder(STAGING) as staging:
            try:
                with os.fdopen(os.open(name, _WRITE, 0o666, dir_fd=staging), "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                yield staging, name
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=staging)


def _by_folder(records: Mapping[str, bytes]) -> dict[tuple[str, ...], dict[str, bytes]]:
    found: dict[tuple[str, ...], dict[str, bytes]] = {}
    for key, data in records.items():
        *folders, name = record_segments(key)
        found.setdefault(tuple(folders), {})[name] = data
    return found


def make_durably(folder: Path) -> None:
    """Create a folder and those above it, each synced into its parent."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        try:
            new.mkdir(exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
        sync_folder(new.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    opened = os.open(folder, _FOLDER)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _step(parent: int, segment: str, *, make: bool) -> int:
    try:
        return os.open(segment, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    except NotADirectoryError as error:
        if stat.S_ISLNK(os.stat(segment, dir_fd=parent, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
        if make:
            raise
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    with suppress(FileExistsError):
        os.mkdir(segment, dir_fd=parent)
        os.fsync(parent)
    return os.open(segment, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)


def _read(parent: int, name: str) -> bytes:
    opened = os.open(name, _READ, dir_fd=parent)
    mode = os.fstat(opened).st_mode
    if stat.S_ISREG(mode):
        with os.fdopen(opened, "rb") as stream:
            return stream.read()
    os.close(opened)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "it is not a regular file")


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    pending = [(folder, prefix)]
    while pending:
        current, before = pending.pop()
        with suppress(FileNotFoundError), os.scandir(current) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if before or entry.name != OWN_FOLDER:
                        pending.append((Path(entry.path), f"{before}{entry.name}/"))
                elif entry.is_file(follow_symlinks=False):
                    yield before + entry.name
