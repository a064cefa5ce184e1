"""SHA-256 of files and folders: what both sides of a copy compare. Python 3.8 has no faster digest that is safe."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def file_digest(path: str | os.PathLike[str]) -> tuple[int, str]:
    """Return size and SHA-256 of a file.

    :raises ValueError: if it is no regular file.
    """
    hasher = hashlib.sha256()
    size = 0
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError(f"{os.fspath(path)!r} is a pipe, socket or device")
        data = stream.read(_BLOCK)
        while data:
            hasher.update(data)
            size += len(data)
            data = stream.read(_BLOCK)
    return size, hasher.hexdigest()


def tree_files(root: Path) -> list[tuple[str, Path]]:
    """Return the files below a folder, by relative POSIX path; an empty folder has a path that ends with a slash.

    A link that stays inside counts as what it points to.

    :raises ValueError: if a link leads out of the folder, to nothing, or around itself.
    """
    top = os.path.realpath(root)
    found: list[tuple[str, Path]] = []
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (top,))]
    while waiting:
        prefix, trail = waiting.pop()
        with os.scandir(f"{top}/{prefix}") as listing:
            entries = list(listing)
        if prefix and not entries:
            found.append((prefix, Path(top, prefix)))
        for entry in entries:
            path, real = prefix + entry.name, os.path.realpath(entry.path)
            if not real.startswith(top + "/"):
                raise ValueError(f"the link {path!r} leads out of its folder")
            if not os.path.exists(real):  # noqa: PTH110
                raise ValueError(f"the link {path!r} leads to nothing")
            if not os.path.isdir(real):  # noqa: PTH112
                found.append((path, Path(entry.path)))
            elif any((step + "/").startswith(real + "/") for step in trail):
                raise ValueError(f"the link {path!r} leads to a folder around itself")
            else:
                waiting.append((path + "/", (*trail, real)))
    return sorted(found)


def digest_outputs(outputs: dict[str, str]) -> dict[str, Any]:
    """Return what each output holds: relative path (empty for an output that is a file) to size and SHA-256.

    The path of an empty folder ends with a slash; it has neither.

    :param outputs: port to absolute path; what does not exist is left out.
    :raises ValueError: if something is neither a file nor a folder of files.
    :raises OSError: if it cannot be read.
    """
    digests: dict[str, Any] = {}
    for port, text in outputs.items():
        root = Path(text)
        if root.is_dir():
            digests[port] = {
                path: [] if path.endswith("/") else list(file_digest(place)) for path, place in tree_files(root)
            }
        elif root.exists():
            digests[port] = {"": list(file_digest(root))}
    return digests
