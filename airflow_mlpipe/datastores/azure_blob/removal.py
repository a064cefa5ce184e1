"""Deleting blobs, many at once."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from airflow_mlpipe.datastores.azure_blob.container import Container
from airflow_mlpipe.datastores.azure_blob.records import delete_blob

_THREADS = 16


def remove_all(container: Container, paths: Iterable[str]) -> bool:
    """Delete the blobs at these paths; False if there was none of them.

    What lies deeper goes first: in an account with a hierarchical namespace only an empty folder can be deleted.
    """
    levels: dict[int, list[str]] = {}
    for path in paths:
        levels.setdefault(path.count("/"), []).append(path)
    found = False
    with ThreadPoolExecutor(_THREADS) as pool:
        for _depth, level in sorted(levels.items(), reverse=True):
            found |= any([*pool.map(partial(delete_blob, container), level)])
    return found
