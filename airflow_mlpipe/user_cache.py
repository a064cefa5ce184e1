"""The folder in which this user's machine remembers what it could find out again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def user_cache() -> Path:
    """Return ``airflow-mlpipe`` in ``$XDG_CACHE_HOME``, by default ``~/.cache``; it need not be there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return cache / "airflow-mlpipe"


def remember(path: Path, data: bytes) -> None:
    """Put data in place of a file, whole or not at all; that it cannot be written costs time, and is no error.

    Only this user may read it, as it may repeat what a protected file says. It is not waited for the disk: whoever
    reads it has to see by itself whether it is whole.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch(mode=0o600)
        aside.write_bytes(data)
        aside.replace(path)
