"""From an Airflow connection to a workspace, and the few verbs on it."""

from __future__ import annotations

import asyncio
import difflib
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_mlpipe.errors import ConfigError, MLPipeError, StoreError
from airflow_mlpipe.execution.hub import status_of
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.turns import Waiting
from airflow_mlpipe.hooks.connections import wanted_connections, with_connections
from airflow_mlpipe.hooks.edge import DEFAULT_CONN_ID
from airflow_mlpipe.workspace import Workspace, find_workspace, load_workspace, workspace_from_mapping

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_mlpipe.compute.base import JobHandle, JobStatus, LogChunk
    from airflow_mlpipe.execution.planner import StepPlan
    from airflow_mlpipe.execution.run_info import RunInfo, Ticket
    from airflow_mlpipe.spec.step import Step
    from airflow_mlpipe.tracking.base import StepRecord

_FIELDS = ("workspace", "workspace_file")


class MLPipeHook(BaseHook):
    """Gives the workspace behind a connection of type ``mlpipe``.

    The connection's extra holds either ``workspace``, the text of a ``workspace.yml`` (YAML or JSON; in a connection
    written as JSON also plain keys and values), or ``workspace_file``, the path of one. Relative paths of a
    ``workspace`` text start from ``AIRFLOW_HOME``, so that all DAGs and processes of an installation mean the same
    places. If the default connection does not exist, the workspace is found as ``mlpipe run`` finds it:
    ``workspace.yml`` beside or above the DAG file, else ``$MLPIPE_WORKSPACE``, else the embedded default.

    :param mlpipe_conn_id: the connection.
    :param folder: folder of the DAG file, for the default connection that does not exist.
    """

    conn_name_attr = "mlpipe_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "mlpipe"
    hook_name = "MLPipe workspace"

    def __init__(self, mlpipe_conn_id: str = DEFAULT_CONN_ID, folder: str | Path | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mlpipe_conn_id = mlpipe_conn_id
        self.folder = Path(folder) if folder is not None else Path.cwd()

    def get_conn(self) -> Workspace:
        """Return :meth:`get_workspace`, under the name that Airflow gives it."""
        return self.get_workspace()

    def get_workspace(self) -> Workspace:
        """Return the workspace.

        :raises ConfigError: if the connection is missing, of another type, or wrong.
        """
        try:
            connection = self.get_connection(self.mlpipe_conn_id)
        except AirflowNotFoundException:
            return self._connected(self._without_connection())
        return self._connected(_from_connection(connection, self.mlpipe_conn_id))

    async def aget_workspace(self) -> Workspace:
        """Return the workspace, for triggers: the event loop is not blocked.

        :raises ConfigError: as :meth:`get_workspace`.
        """
        try:
            connection = await self.aget_connection(self.mlpipe_conn_id)
        except AirflowNotFoundException:
            workspace = await asyncio.to_thread(self._without_connection)
        else:
            workspace = await asyncio.to_thread(_from_connection, connection, self.mlpipe_conn_id)
        wanted = wanted_connections(workspace)
        try:
            found = {conn_id: await self.aget_connection(conn_id) for conn_id in wanted}
        except AirflowNotFoundException as error:
            raise _no_connection(wanted, error) from None
        return with_connections(workspace, found)

    def _connected(self, workspace: Workspace) -> Workspace:
        """Return the workspace with the connections that its datastores name."""
        wanted = wanted_connections(workspace)
        try:
            found = {conn_id: self.get_connection(conn_id) for conn_id in wanted}
        except AirflowNotFoundException as error:
            raise _no_connection(wanted, error) from None
        return with_connections(workspace, found)

    def _without_connection(self) -> Workspace:
        if self.mlpipe_conn_id == DEFAULT_CONN_ID:
            return find_workspace(self.folder)
        raise ConfigError(
            f"There is no Airflow connection {self.mlpipe_conn_id!r}. Create it (type 'MLPipe workspace', in the UI "
            f"under Admin > Connections), or leave mlpipe_conn_id out to use "
            f"{DEFAULT_CONN_ID!r} or the nearest workspace.yml."
        )

    def test_connection(self) -> tuple[bool, str]:
        """Write, read and delete a small record in the default datastore. Nothing is run.

        :returns: whether it worked, and a sentence for the user.
        """
        try:
            named = self.get_connection(self.mlpipe_conn_id)
            workspace = self._connected(_from_connection(named, self.mlpipe_conn_id))
            _probe(workspace)
            targets = ", ".join(sorted(workspace.config.compute))
        except (MLPipeError, AirflowNotFoundException, OSError) as error:
            return False, str(error)
        return True, (
            f"Workspace {workspace.name!r}: datastore {workspace.config.default_datastore!r} can be written and read. "
            f"Compute targets: {targets}."
        )

    def submit(self, step: Step, run: RunInfo, epoch: int = 0) -> StepRecord | Ticket | Waiting:
        """Begin a step; see :func:`airflow_mlpipe.execution.lifecycle.begin`."""
        return begin(self.get_workspace(), step, run, epoch, self.log.info)

    def status(self, handle: JobHandle) -> JobStatus:
        """Return what is known of a job now."""
        return asyncio.run(status_of(self.get_workspace().compute(handle.target), handle))

    def cancel(self, handle: JobHandle, grace: float = 10.0) -> None:
        """End a job and all its processes."""
        asyncio.run(self.get_workspace().compute(handle.target).cancel(handle, grace))

    def logs(self, handle: JobHandle, cursor: str | None = None) -> LogChunk:
        """Return a job's output from the cursor on."""
        return asyncio.run(self.get_workspace().compute(handle.target).logs(handle, cursor))

    def find_reusable(self, step: Step, run: RunInfo) -> StepPlan:
        """Return whether a step would be reused, and why; nothing is changed."""
        from airflow_mlpipe.execution.planner import plan  # noqa: PLC0415 - no step that a worker runs needs it

        return plan(self.get_workspace(), [step], run)[0]


def _no_connection(wanted: Sequence[str], error: AirflowNotFoundException) -> ConfigError:
    return ConfigError(
        f"The datastores and compute targets of the workspace name the Airflow connections {', '.join(wanted)}, and "
        f"not all of them exist ({error}). Create them, or write address and credential instead of 'conn_id'."
    )


def _from_connection(connection: Connection, conn_id: str) -> Workspace:
    source = f"connection {conn_id!r}"
    if connection.conn_type != MLPipeHook.conn_type:
        raise ConfigError(f"The {source} has the type {connection.conn_type!r}; needed is {MLPipeHook.conn_type!r}.")
    try:
        extra = connection.extra_dejson
    except ValueError:
        raise ConfigError(f"The extra of {source} is not JSON.") from None
    for key in extra:
        if key not in _FIELDS:
            close = difflib.get_close_matches(key, _FIELDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(
                f"The extra of {source} has an unknown key {key!r}; known are {' and '.join(_FIELDS)}.{hint}"
            )
    text, path = (extra.get(field) or None for field in _FIELDS)
    if (text is None) == (path is None):
        raise ConfigError(
            f"The {source} needs either 'workspace' (the text of a workspace.yml) or 'workspace_file' (its path); "
            f"it has {'neither' if text is None else 'both'}."
        )
    if path is not None:
        return load_workspace(_airflow_home() / Path(path).expanduser())
    return workspace_from_mapping(_mapping(text, source), _airflow_home(), source)


def _mapping(text: Any, source: str) -> Mapping[str, Any]:
    if isinstance(text, str):
        try:
            text = yaml.load(text, Loader=yaml.CSafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"The workspace text of {source} is not valid YAML: {error}") from None
    if not isinstance(text, Mapping) or not all(isinstance(key, str) for key in text):
        raise ConfigError(f"The workspace text of {source} must hold keys and values, such as 'name: production'.")
    return text


def _airflow_home() -> Path:
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()


def _probe(workspace: Workspace) -> None:
    store = workspace.datastore()
    key, data = f"mlpipe/connection-test/{uuid.uuid4().hex}.json", b'{"test": true}'
    created = store.create(key, data)
    if not created or store.read(key) != data:
        raise StoreError(
            f"A record written to datastore {workspace.config.default_datastore!r} could not be read back."
        )
    store.delete(key)
