"""One workspace for all triggers of a triggerer that mean the same one.

A thousand waiting steps must not ask Airflow a thousand times for one connection: look-ups go over a single channel,
and many at once have blocked it (apache/airflow#63913).
"""

from __future__ import annotations

import asyncio
import time
from weakref import WeakKeyDictionary

from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.workspace import Workspace

_FRESH = 300.0

_Entry = tuple[float, "asyncio.Future[Workspace]"]
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _Entry]] = WeakKeyDictionary()


async def shared_workspace(mlpipe_conn_id: str, folder: str) -> Workspace:
    """Return the workspace of a connection; asked for again after five minutes, so that a changed connection is seen.

    :param folder: folder of the DAG file, for the default connection that does not exist.
    :raises ConfigError: if the connection is missing or wrong; not remembered.
    """
    entries = _open.setdefault(asyncio.get_running_loop(), {})
    key = (mlpipe_conn_id, folder)
    opened, future = entries.get(key, (0.0, None))
    if future is None or time.monotonic() - opened > _FRESH or _failed(future):
        future = asyncio.ensure_future(MLPipeHook(mlpipe_conn_id, folder).aget_workspace())
        entries[key] = (time.monotonic(), future)
    return await asyncio.shield(future)


def _failed(future: asyncio.Future[Workspace]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)
