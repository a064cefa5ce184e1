"""Data in a datastore as something that a DAG can be scheduled by."""

from __future__ import annotations

import inspect
from pathlib import Path

from airflow.sdk import Asset, AssetWatcher

from airflow_mlpipe.hooks.edge import DEFAULT_CONN_ID
from airflow_mlpipe.triggers.changes import split_address
from airflow_mlpipe.triggers.data_watch import DataWatchTrigger


def changed_data(name: str, *, path: str, poll_interval: float = 300.0, mlpipe_conn_id: str = DEFAULT_CONN_ID) -> Asset:
    """Return an asset that has an event each time when the content under a path has changed and come to rest.

    .. code-block:: python

        with DAG("flights", schedule=[changed_data("flights", path="azureml://datastores/landing/paths/flights")]): ...

    It is watched in the triggerer while a DAG that it starts is not paused: on any datastore, with all folders below,
    one event for one batch of changes, however many files. Contents count: a file that is only touched is no change.
    What is there when the DAG is switched on for the first time is the first batch.

    :param name: whose memory of what was seen it is; usually the DAG's id.
    :param path: ``azureml://datastores/<name>/paths/<path>``.
    :param poll_interval: seconds between two looks; a batch counts when two in a row saw the same.
    :param mlpipe_conn_id: Airflow connection of type ``mlpipe``. Without that connection, the nearest
        ``workspace.yml``.
    :raises ConfigError: if the path has another form.
    """
    split_address(path)
    trigger = DataWatchTrigger(mlpipe_conn_id, str(_calling_folder()), name, path, poll_interval)
    watcher = AssetWatcher(name=name, trigger=trigger)
    return Asset(name=f"changes/{name}", uri=f"mlpipe://changes/{name}", watchers=[watcher])


def _calling_folder() -> Path:
    """Return the folder of the DAG file, found as Airflow's own ``DAG`` finds it: by who is calling."""
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame and frame.f_back else None
    file = caller.f_globals.get("__file__") if caller else None
    return Path(file).parent if file else Path.cwd()
