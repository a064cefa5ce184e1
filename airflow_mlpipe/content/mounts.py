"""Which file system a path lies on."""

from __future__ import annotations

import re
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")


def file_system_of(path: str) -> str:
    """Return the type of the file system of a real path (``ext4``, ``tmpfs``, ``nfs4``); empty if it cannot be told.

    Read from ``/proc/self/mountinfo``, by path: the device number of a btrfs subvolume is not in that list.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().decode("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    best, found = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4]
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), point) if "\\" in point else point
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # of two mounts at one place the later one covers the other
            best, found = len(point), after.split(" ")[0]
    return found
