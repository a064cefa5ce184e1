"""Folders that are hard to copy, and what is in a folder."""

from __future__ import annotations

import random
from pathlib import Path


def fill(folder: Path) -> None:
    """Write a tree that is hard to copy: odd names, empty things, the same bytes twice, a large file."""
    for name in ("a.txt", "sub/deep/a.txt", "sub/a b'\"$x.txt", "sub/-rf", "Zürich 中文.txt", "caf\udce9"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"a")
    (folder / "empty").touch()
    (folder / "sub" / "hollow").mkdir()
    (folder / "large").write_bytes(random.Random(7).randbytes(3 * 1024 * 1024))  # noqa: S311 - a test's data


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return path to bytes of a folder, ``None`` for an empty folder."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }
