"""Puts a text in place of a file: whole or not at all, and not if it is there already."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def is_current(path: Path, text: str) -> bool:
    """Whether the file holds exactly this text."""
    try:
        return path.read_bytes() == text.encode()
    except FileNotFoundError:
        return False


def write_file(path: Path, text: str, durable: bool = True) -> None:
    """Write aside and rename, so that a DAG processor never reads half a file; rights follow the umask.

    The name of the file aside does not end in ``.py``: Airflow does not look at it.

    :param durable: wait until the text is on the disk, so that not even a crash of the machine leaves half of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(aside).chmod(0o666 & ~_umask())
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
