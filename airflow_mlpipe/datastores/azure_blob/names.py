"""Paths as blob names and back, exactly.

A blob name may not hold everything that a file name may: the service turns a backslash into a slash, cuts dots off
the end of a name, and cannot list control characters, because its lists are XML. What it would change is written as
``~`` and two hexadecimal digits for each byte. All other names stay as they are, so data that other tools wrote is
found under the names that they gave it.
"""

from __future__ import annotations

import re

from airflow_mlpipe.datastores.paths import OWN_FOLDER, data_segments
from airflow_mlpipe.errors import DataError

_OWN = f"{OWN_FOLDER}/"
_MAX_NAME = 1024
_MAX_SEGMENTS = 254
_CODE = r"(?:0[0-9a-f]|1[0-9a-f]|20|2e|5c|7[ef]|[89a-f][0-9a-f])"
_UNSAFE = re.compile(rf"[\x00-\x1f\x7f-\x9f\\\ufffe\uffff\udc80-\udcff]|[. ]\Z|~(?={_CODE})")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*")
"""Most names: nothing in them means anything to the service, to a disk or to us."""

_MAX_PLAIN = 255
_ESCAPE = re.compile(rb"~(" + _CODE.encode() + rb")")


def to_blob_name(path: str) -> str:
    """Return the name of the blob that holds a path.

    :param path: plain segments; see :mod:`airflow_mlpipe.datastores.paths`.
    """
    return "/".join(_UNSAFE.sub(_escape, segment) for segment in path.split("/"))


def to_path(name: str) -> str | None:
    """Return the path that a blob holds, ``None`` if no path of ours has this name.

    A path in the datastore's own folder is one of ours too.
    """
    if len(name) <= _MAX_PLAIN and _PLAIN.fullmatch(name):
        return name
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), name.encode("utf-8", "surrogatepass"))
    path = raw.decode("utf-8", "surrogateescape")
    try:
        data_segments(path.removeprefix(_OWN))
    except DataError:
        return None
    return path if path and not path.endswith("/") and to_blob_name(path) == name else None


def name_fault(name: str) -> str:
    """Say why the service cannot keep a blob of this name; empty if it can."""
    if len(name) > _MAX_NAME:
        return f"its name in the container has {len(name)} characters, Azure keeps at most {_MAX_NAME}"
    if name.count("/") >= _MAX_SEGMENTS:
        return f"it is {name.count('/') + 1} levels deep in the container, Azure keeps at most {_MAX_SEGMENTS}"
    return ""


def _escape(match: re.Match[str]) -> str:
    return "".join(f"~{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))
