"""The snapshot: the source folder of a step as it was when it was looked at.

A step whose source differs is another step. Azure ML takes the whole source folder, not single functions, and so do
we: a changed helper module and a new file that shadows another one are seen.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3

from airflow_mlpipe.content.digest import hash_file
from airflow_mlpipe.errors import DataError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MAX_BYTES = 300 * 1024 * 1024
"""Azure ML's limit for a snapshot is 300 MB; more is data, or an environment, that belongs elsewhere."""
MAX_FILES = 20_000

_IGNORE_FILES = (".amlignore", ".gitignore")
_NEVER = frozenset({".git", "__pycache__", ".mlpipe", ".ipynb_checkpoints"})
_DOMAIN = b"mlpipe-snapshot/1"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file or link of a snapshot.

    :param path: POSIX path relative to the top of the snapshot.
    :param digest: ``blake3:<hex>`` of the bytes, of the target's text for a link.
    :param size: bytes.
    :param executable: the owner may execute it; no other mode bit counts.
    :param target: of a symbolic link, its text; ``None`` for a file.
    :param source: where it lay when it was looked at.
    """

    path: str
    digest: str
    size: int
    executable: bool = False
    target: str | None = None
    source: Path = field(default=Path(), compare=False, repr=False)


@dataclass(frozen=True)
class Snapshot:
    """The files of a source folder, their digests known, their bytes still in place.

    :param files: sorted by path.
    """

    files: tuple[SourceFile, ...]

    @cached_property
    def digest(self) -> str:
        """``code:<hex>``; equal if and only if paths, bytes, executable bits and link targets are equal."""
        hasher = blake3(_DOMAIN)
        for path, what in self.identity().items():
            for text in (path, what):
                raw = text.encode("utf-8", "surrogateescape")
                hasher.update(len(raw).to_bytes(8, "big") + raw)
        return f"code:{hasher.hexdigest()}"

    def identity(self) -> dict[str, str]:
        """Return path to ``blake3:...``, ``x blake3:...`` for an executable file, ``-> target`` for a link."""
        return {file.path: _what(file) for file in self.files}

    def read(self, path: str) -> bytes:
        """Return the bytes of a file as they were when the snapshot was taken; of a link, its target's text.

        :raises DataError: if the snapshot has no such file, or it changed since.
        """
        file = self._by_path.get(path)
        if file is None:
            raise DataError(f"The source has no file {path!r}.")
        if file.target is not None:
            return os.fsencode(file.target)
        try:
            data = file.source.read_bytes()
        except OSError as error:
            raise _changed(file) from error
        if f"blake3:{blake3(data).hexdigest()}" != file.digest:
            raise _changed(file)
        return data

    def copy_to(self, folder: Path) -> None:
        """Write the snapshot to a folder that does not exist yet; every byte is checked against the digests on the way.

        :raises DataError: if the folder exists, cannot be written, or a file changed since the snapshot was taken.
            Nothing is left at ``folder`` in the last two cases.
        """
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            raise DataError(f"{folder} exists already. The source is only copied to a fresh folder.") from error
        except OSError as error:
            raise DataError(f"{folder} cannot be made: {error.strerror}.") from error
        try:
            for file in self.files:
                self._copy(file, folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise DataError(f"The source cannot be copied to {folder}: {error.strerror}.") from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _copy(self, file: SourceFile, folder: Path) -> None:
        to = folder / file.path
        to.parent.mkdir(parents=True, exist_ok=True)
        if file.target is not None:
            to.symlink_to(file.target)
            return
        data = self.read(file.path)
        mode = 0o777 if file.executable else 0o666
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(data)

    @cached_property
    def _by_path(self) -> dict[str, SourceFile]:
        return {file.path: file for file in self.files}


def take_snapshot(folder: Path, additional_includes: Sequence[str] = (), base: Path | None = None) -> Snapshot:
    """Look at a source folder and what is laid beside it.

    Left out: ``.git``, ``.mlpipe``, ``__pycache__``, ``*.pyc``, ``.ipynb_checkpoints``, and what ``.amlignore`` names,
    or ``.gitignore`` if there is no ``.amlignore`` (Azure ML's rule; git's patterns). Only the ignore file at the top
    of the folder is read, and it is left out itself. Folders without files do not count, nor do times, owners and mode
    bits other than the owner's executable bit. Line endings count as they are.

    :param folder: the source folder (Azure ML's ``code``).
    :param additional_includes: files and folders to lay at the top of the source under their own name (Azure ML's
        shared paths); each folder's own ignore file counts for it.
    :param base: what relative ``additional_includes`` start from; ``None`` for the folder's parent.
    :raises DataError: if something does not exist or cannot be read, is a pipe, socket or device, is a link that leaves
        its folder, has a name that is taken, or if there are more than 20,000 files or 300 MB.
    """
    if not folder.is_dir():
        seen = "is a file" if folder.exists() else "does not exist"
        raise DataError(
            f"The source folder {str(folder)!r} {seen}. Set code to a folder, relative to the pipeline file."
        )
    found = dict(_in_folder(folder, "", folder))
    start = base if base is not None else folder.parent
    taken = {path.partition("/")[0]: folder for path in found}
    for include in dict.fromkeys(additional_includes):
        source = Path(os.path.abspath(start / include))  # noqa: PTH100 - resolve() would take a link's name away
        if source.name in taken:
            raise DataError(
                f"additional_includes: {include!r} would be laid at {source.name!r} in the source, where "
                f"{taken[source.name]} has put something already. Rename one of them."
            )
        taken[source.name] = source
        found.update(_included(source, include, folder))
    _check_size(found, folder)
    return Snapshot(tuple(_look(path, found[path]) for path in sorted(found)))


class _Found(NamedTuple):
    source: str
    status: os.stat_result | None
    """``None`` for a link."""


def _included(source: Path, include: str, folder: Path) -> Iterator[tuple[str, _Found]]:
    if not source.name:
        raise DataError(f"additional_includes: {include!r} has no name of its own. Name a folder below it.")
    if source.is_dir():
        yield from _in_folder(source, source.name + "/", folder)
    elif source.is_file():
        yield source.name, _Found(str(source), source.stat())
    else:
        raise DataError(f"additional_includes: {include!r} is no file or folder. It is looked for at {source}.")


def _in_folder(root: Path, prefix: str, guilty: Path) -> Iterator[tuple[str, _Found]]:
    """Yield every file and link of a folder that is not ignored, at its place in the snapshot."""
    ignored = _ignored(root)
    top = os.path.realpath(root)
    pending = [""]
    count = 0
    while pending:
        inner = pending.pop()
        try:
            with os.scandir(f"{top}/{inner}") as listing:
                entries = list(listing)
        except OSError as error:
            raise DataError(f"The source folder {str(root / inner)!r} cannot be read: {error.strerror}.") from error
        for entry in entries:
            path = inner + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if _is_left_out(path, entry.name, ignored, is_folder):
                continue
            if is_folder:
                pending.append(path + "/")
                continue
            count += 1
            if count > MAX_FILES:
                raise _too_large(f"more than {MAX_FILES:,} files", guilty)
            yield prefix + path, _found(entry, path, top)


def _is_left_out(path: str, name: str, ignored: GitIgnoreSpec | None, is_folder: bool) -> bool:
    if name in _NEVER or name.endswith(".pyc") or path in _IGNORE_FILES:
        return True
    return ignored is not None and ignored.match_file(path + "/" if is_folder else path)


def _ignored(root: Path) -> GitIgnoreSpec | None:
    for name in _IGNORE_FILES:
        path = root / name
        try:
            text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(f"The ignore file {str(path)!r} cannot be read: {error.strerror}.") from error
        from pathspec import GitIgnoreSpec  # noqa: PLC0415 - slow to import, and many folders ignore nothing

        try:
            return GitIgnoreSpec.from_lines(text.splitlines())
        except ValueError as error:
            raise DataError(f"The ignore file {str(path)!r} holds a pattern that git would refuse: {error}.") from error
    return None


def _found(entry: os.DirEntry[str], path: str, top: str) -> _Found:
    if entry.is_symlink():
        _check_link(path, top)
        return _Found(entry.path, None)
    status = entry.stat(follow_symlinks=False)
    if not S_ISREG(status.st_mode):
        raise DataError(
            f"{path!r} in the source {top} is a pipe, socket or device. Remove it, or name it in .amlignore."
        )
    return _Found(entry.path, status)


def _check_link(path: str, top: str) -> None:
    """Refuse a link that leaves the folder, as it is written (a copy lies elsewhere) or as it is followed."""
    full = f"{top}/{path}"
    target = os.readlink(full)  # noqa: PTH115
    written = os.path.normpath(os.path.join(os.path.dirname(path), target))  # noqa: PTH118, PTH120
    real = os.path.realpath(full)
    if (
        target.startswith("/")
        or written == ".."
        or written.startswith("../")
        or not (real + "/").startswith(top.rstrip("/") + "/")
    ):
        raise DataError(
            f"The link {path!r} in the source {top} leads out of it, to {target!r}. Name what it points to in "
            "additional_includes, or make it a relative link inside the folder."
        )


def _look(path: str, found: _Found) -> SourceFile:
    if found.status is None:
        target = os.readlink(found.source)  # noqa: PTH115
        digest = f"blake3:{blake3(os.fsencode(target)).hexdigest()}"
        return SourceFile(path, digest, len(target), target=target, source=Path(found.source))
    executable = bool(found.status.st_mode & 0o100)
    return SourceFile(path, hash_file(found.source), found.status.st_size, executable, source=Path(found.source))


def _what(file: SourceFile) -> str:
    if file.target is not None:
        return f"-> {file.target}"
    return f"x {file.digest}" if file.executable else file.digest


def _check_size(found: dict[str, _Found], folder: Path) -> None:
    if len(found) > MAX_FILES:
        raise _too_large(f"{len(found):,} files", folder)
    size = sum(item.status.st_size for item in found.values() if item.status)
    if size > MAX_BYTES:
        largest = sorted(((item.status.st_size, path) for path, item in found.items() if item.status), reverse=True)[:3]
        names = ", ".join(f"{path} ({bytes_ / 1024**2:.0f} MB)" for bytes_, path in largest)
        raise _too_large(f"{size / 1024**2:,.0f} MB (largest: {names})", folder)


def _too_large(what: str, folder: Path) -> DataError:
    return DataError(
        f"The source folder {str(folder)!r} holds {what}; at most {MAX_FILES:,} files and "
        f"{MAX_BYTES // 1024**2} MB are allowed (the size is Azure ML's own limit). Name data, results and virtual "
        f"environments in {folder / '.amlignore'}, one pattern a line as in .gitignore."
    )


def _changed(file: SourceFile) -> DataError:
    return DataError(
        f"The source file {file.path!r} changed while it was being used ({file.source}). Start the run again."
    )
