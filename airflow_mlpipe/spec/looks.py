"""What a pipeline was read from, so that a caller can tell later whether reading it again would say the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path


class Looks:
    """Notes every path that a reader looked at, and how: at its content, or only at what is there."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def at_content(self, path: Path) -> None:
        """Note a file that is read."""
        self._found[str(path.absolute())] = _content(path)

    def at_kind(self, path: Path) -> None:
        """Note a path of which only matters whether a file or a folder is there."""
        self._found.setdefault(str(path.absolute()), _kind(path))

    def is_file(self, path: Path) -> bool:
        """Return whether there is a file, and note that this was asked."""
        self.at_kind(path)
        return path.is_file()

    def as_dict(self) -> dict[str, str]:
        """Return path to what was seen there, plain enough for JSON."""
        return dict(self._found)


def still_so(looks: Mapping[str, str]) -> bool:
    """Return whether every path looks as it did."""
    return all((_content if seen.startswith("sha256:") else _kind)(Path(path)) == seen for path, seen in looks.items())


def _content(path: Path) -> str:
    try:
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError:
        return "sha256:"


def _kind(path: Path) -> str:
    if path.is_dir():
        return "folder"
    return "file" if path.is_file() else "other" if path.exists() else "nothing"
