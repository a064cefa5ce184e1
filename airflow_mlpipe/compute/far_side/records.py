"""Names of the files in a job's folder, and writing one so that it is whole, on disk, and the first of its name."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

SPEC, CLAIM, EXIT, CANCEL = "spec.json", "claim.json", "exit.json", "cancel"
LOG, METRICS, CODE, FILES = "log.txt", "metrics.jsonl", "code", "files"
INPUTS, OUTPUTS, DIGESTS, GRANTS = "inputs", "outputs", "outputs.json", "grants.json"
LOG_PIECES = "log"


def put_new(path: Path, value: dict[str, Any]) -> bool:
    """Write JSON under a name that must not exist yet; whole or not at all, and on disk when this returns.

    :return: whether it was us; ``False`` if the name is taken.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with temporary.open("w", encoding="ascii") as stream:
            json.dump(value, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return True
