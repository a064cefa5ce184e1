"""Which Python an environment is made from, and who makes it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from pathlib import Path

_UV_PLACES = ("~/.local/bin/uv", "~/.cargo/bin/uv")
_CLAUSE = re.compile(r"(==|!=|<=|>=|<|>|~=)?\s*(\d+(?:\.\d+)*)(\.\*)?")
_NEWEST, _OLDEST = 20, 7


class BuildError(Exception):
    """An environment cannot be built; the text is for the user."""


def find_uv() -> str | None:
    """Return the path of uv, also where its own installer puts it; ``None`` if there is none."""
    usual = [str(place) for place in (Path(text).expanduser() for text in _UV_PLACES) if os.access(place, os.X_OK)]
    return shutil.which("uv") or (usual[0] if usual else None)


def base_python(wanted: str | None) -> str:
    """Return what to give to ``uv --python``: our own interpreter where it fits, so that nothing is fetched."""
    own = platform.python_version_tuple()
    if wanted is None or wanted in (".".join(own), ".".join(own[:2]), own[0]):
        return sys.executable
    return wanted


def fitting_python(wanted: str | None) -> str:
    """Return an interpreter of this machine that is of a version, for a machine without uv.

    :param wanted: ``3.11``, ``3.11.4`` or a range such as ``>=3.10,<3.13``; ``None`` for any.
    :raises BuildError: if there is none.
    """
    if wanted is None or fits(wanted, platform.python_version()):
        return sys.executable
    for minor in range(_NEWEST, _OLDEST, -1):
        found = shutil.which(f"python3.{minor}")
        if found and fits(wanted, f"3.{minor}"):
            return found
    raise BuildError(
        f"The environment wants Python {wanted}; this machine has {platform.python_version()} and none that fits, and "
        "no uv that could fetch one. Install uv or that Python there, or change the version."
    )


def fits(wanted: str, version: str) -> bool:
    """Whether a version is what is wanted; only as many parts are compared as both have."""
    return all(_holds(clause.strip(), version) for clause in wanted.split(","))


def _holds(clause: str, version: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        return False
    limit = [int(part) for part in match.group(2).split(".")]
    have = [int(part) for part in re.findall(r"\d+", version)][: len(limit)]
    limit = limit[: len(have)]
    operator = match.group(1) or "=="
    if operator == "~=":
        return have >= limit and have[:1] == limit[:1]
    known = {
        "==": have == limit,
        "!=": have != limit,
        "<": have < limit,
        "<=": have <= limit,
        ">": have > limit,
        ">=": have >= limit,
    }
    return known[operator]
