"""What a script reported of itself: reading ``metrics.jsonl`` whatever it holds."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

METRICS_BYTES = 4 * 1024 * 1024
METRICS_LINES = 10_000


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Read what the script reported; return the good lines, and a sentence about the bad ones."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return [], "The metrics file is not a regular file and was ignored."
            text = stream.read(METRICS_BYTES + 1)
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], f"The metrics file cannot be read: {error.strerror}."
    lines = text.split(b"\n")
    cut = len(text) > METRICS_BYTES or len(lines) > METRICS_LINES
    good, bad = [], []
    for number, line in enumerate(lines[:METRICS_LINES][: -1 if cut else None], start=1):
        if line.strip():
            metric, problem = _metric(line)
            if metric is None:
                bad.append(f"line {number}: {problem}")
            else:
                good.append(metric)
    notes = [f"{len(bad)} bad line(s) in the metrics file were ignored ({'; '.join(bad[:3])})."] if bad else []
    if cut:
        notes.append(f"The metrics file is longer than {METRICS_LINES} lines or 4 MiB; the rest was ignored.")
    return good, " ".join(notes)


def _metric(line: bytes) -> tuple[dict[str, Any] | None, str]:
    try:
        entry = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None, "not JSON"
    if not isinstance(entry, dict):
        return None, "not an object with name and value"
    name, value, step = entry.get("name"), entry.get("value"), entry.get("step")
    if not isinstance(name, str) or not 0 < len(name) <= 250 or any(0xD800 <= ord(c) <= 0xDFFF for c in name):
        return None, "name is not a text of 1 to 250 characters"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        return None, f"value of {name!r} is not a finite number"
    if step is not None and (isinstance(step, bool) or not isinstance(step, int)):
        return None, f"step of {name!r} is not a whole number"
    return {"name": name, "value": value, "step": step}, ""
