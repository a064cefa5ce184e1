"""A folder of this machine where an unfinished copy waits for the next try."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow_mlpipe.workspace import Workspace

_LENGTH = 48


@contextmanager
def staging(workspace: Workspace, key: str) -> Iterator[Path]:
    """Give the staging folder of a transfer: the same for every try of it, removed when it has ended well.

    Two tries at once do not share it: the second one gets a folder of its own. What nobody comes back to is removed by
    garbage collection.

    :param key: the step's reuse key.
    """
    folder = workspace.scratch / f"mlp-{key[:_LENGTH]}"
    lock = _take(folder)
    if lock is None:
        folder = workspace.scratch / f"mlp-{secrets.token_hex(_LENGTH // 2)}"
        lock = _take(folder)
    try:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        if lock is not None:
            os.close(lock)


def _take(folder: Path) -> int | None:
    """Lock a folder for this process; ``None`` if another one has it, or is just removing it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with suppress(OSError):
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.stat().st_ino == os.fstat(opened).st_ino:
            return opened
    os.close(opened)
    return None
