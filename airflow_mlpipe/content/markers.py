"""Identities that cost no reading: weaker than a content digest, and never equal to one.

A marker says "changed" whenever a name, size or time differs, even if the bytes are the same; it says "the same" for a
file that was edited in place with its size kept and its time put back. So it is for data that nobody edits in place.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from blake3 import blake3

from airflow_mlpipe.content.manifest import ContentSummary, Kind
from airflow_mlpipe.content.walk import walk

SCHEMES = ("stat:", "etag:")
"""How the digest of a marker begins: made of names, sizes and times, or of a store's own version marks."""


def is_marker(digest: str) -> bool:
    """Return whether a digest is a marker and says nothing about bytes."""
    return digest.startswith(SCHEMES)


def marker_of(scheme: str, facts: Iterable[tuple[object, ...]], kind: Kind) -> str:
    """Return the digest of what a store says of each file.

    :param scheme: one of :data:`SCHEMES`.
    :param facts: a tuple of plain texts and numbers for each file, its relative path first; in any order.
    :param kind: a single file or a folder.
    """
    hasher = blake3(b"mlpipe-marker/1")
    hasher.update(repr((kind, sorted(facts))).encode("utf-8", "surrogatepass"))
    return scheme + hasher.hexdigest()


def stat_summary(
    root: str | os.PathLike[str], include: Iterable[str] | None = None, without: str | None = None
) -> ContentSummary | None:
    """Return the identity of a file or folder by names, sizes and times of change; ``None`` if nothing is there.

    :param include: relative paths; only these files are looked at.
    :param without: name of a folder at the top that does not belong to the data.
    :raises DataError: as :func:`~airflow_mlpipe.content.walk.walk`.
    """
    tree = walk(root, include)
    if tree is None:
        return None
    inside = "" if without is None else f"{without}/"
    files = [file for file in tree.files if not inside or not file.path.startswith(inside)]
    single = tree.kind == "file"
    facts: list[tuple[object, ...]] = [("" if single else file.path, file.size, file.mtime) for file in files]
    facts += [(f"{path}/", -1, 0) for path in tree.empty_folders if not inside or not f"{path}/".startswith(inside)]
    return ContentSummary(marker_of("stat:", facts, tree.kind), len(files), sum(file.size for file in files), tree.kind)
