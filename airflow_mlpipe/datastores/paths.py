"""What a record key or data path may look like, in every datastore alike."""

from __future__ import annotations

import os
from collections.abc import Iterable

from airflow_mlpipe.errors import DataError, MLPipeError, StoreError

OWN_FOLDER = ".mlpipe"
"""Folder at the root of a datastore that belongs to the datastore itself: unfinished writes and the digest cache."""

_MAX_SEGMENT = 255
_MAX_PATH = 1024


def record_segments(key: str) -> tuple[str, ...]:
    """Split a record key into its segments.

    :raises StoreError: if it is not a relative POSIX path of plain segments.
    """
    return _segments(key, "record key", StoreError)


def data_segments(path: str) -> tuple[str, ...]:
    """Split a data path into its segments; ``""`` is the root, a folder may be written with a slash at its end.

    :raises DataError: if it is not a relative POSIX path of plain segments.
    """
    if not path:
        return ()
    return _segments(path.removesuffix("/"), "data path", DataError)


def check_include(paths: Iterable[str]) -> None:
    """Refuse what cannot name a file inside a folder.

    :raises DataError: naming the first such path.
    """
    for path in paths:
        if not path or path.startswith("/") or not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise DataError(f"{path!r} is not a plain relative path, it cannot name a file inside a folder.")


def folder_prefix(prefix: str) -> tuple[str, ...]:
    """Split the argument of ``keys``: ``""`` or a folder with a slash at its end.

    :raises StoreError: if it is neither.
    """
    if not prefix:
        return ()
    if not prefix.endswith("/"):
        raise StoreError(f"The prefix {prefix!r} must be empty or the name of a folder that ends in '/'.")
    return record_segments(prefix[:-1])


def _segments(text: str, what: str, error: type[MLPipeError]) -> tuple[str, ...]:
    segments = tuple(text.split("/"))
    fault = _fault(text, segments)
    if fault:
        shown = text if len(text) <= 80 else f"{text[:80]}..."
        raise error(
            f"The {what} {shown!r} is not allowed: {fault}. Use a relative path of plain names, like 'a/b.csv'."
        )
    return segments


def _fault(text: str, segments: tuple[str, ...]) -> str:
    if text.startswith("/"):
        return "it begins with '/'"
    if "" in segments:
        return "a name in it is empty"
    if "." in segments or ".." in segments:
        return "'.' and '..' could leave the datastore"
    if segments[0] == OWN_FOLDER:
        return f"the folder {OWN_FOLDER} belongs to the datastore itself"
    return _unkeepable(text, segments)


def _unkeepable(text: str, segments: tuple[str, ...]) -> str:
    if "\0" in text:
        return "it holds a NUL character"
    try:
        sizes = [len(os.fsencode(segment)) for segment in segments]
    except UnicodeEncodeError:
        return "it holds half of a surrogate pair, which has no bytes"
    if max(sizes) > _MAX_SEGMENT:
        return f"a name in it has {max(sizes)} bytes, at most {_MAX_SEGMENT} can be kept"
    if sum(sizes) + len(sizes) > _MAX_PATH:
        return f"it has more than {_MAX_PATH} bytes"
    return ""
