"""Paths of a pipeline, written anew for the folder of its DAG file.

The operators resolve relative paths against the DAG file; a spec means them relative to itself.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

_NOT_LOCAL = re.compile(r"(azureml:|[A-Za-z][A-Za-z0-9+.\-]*://|\$\{\{|/)")


class Relocation:
    """Turns paths relative to one folder into paths relative to another.

    Links are followed first: ``..`` in a path leaves the folder that a link points to, not the one that holds the link.

    :param old: the folder of the spec.
    :param new: the folder of the DAG file; need not exist yet.
    """

    def __init__(self, old: Path, new: Path) -> None:
        self._old = old.resolve()
        self._new = new.resolve()

    def relocate(self, path: str) -> str:
        """Return the path relative to the new folder, with ``/``; absolute paths and URIs stay as they are."""
        if _NOT_LOCAL.match(path):
            return path
        moved = Path(os.path.relpath(self._old / path, self._new)).as_posix()
        return f"{moved}/" if path.endswith("/") else moved

    def environment(self, value: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
        """Return an environment with its files relocated; a name or an inline definition stays."""
        if not isinstance(value, dict):
            return value
        files = ("conda_file", "pip_requirements")
        return {
            key: self.relocate(part) if key in files and isinstance(part, str) else part for key, part in value.items()
        }
