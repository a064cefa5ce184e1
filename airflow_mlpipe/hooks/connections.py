"""Datastores and compute targets that name an Airflow connection: ``conn_id`` becomes an address and a credential.

The rooms below Airflow know no connections, so this is done before a workspace is used. The forms of a ``wasb``
connection are those that Airflow's own ``WasbHook`` reads; a Ray cluster takes one of the type ``http``,
a host over SSH one of the type ``ssh``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.hooks.ssh_connections import TOLD, ssh_connection
from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.workspace import Workspace

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

_TYPE = "wasb"
_DATASTORE = "azure_blob"
_CLUSTER_TYPE = "http"
_CLUSTER = "ray"


def wanted_connections(workspace: Workspace) -> list[str]:
    """Return the connections that the datastores and compute targets of a workspace name, sorted."""
    config = workspace.config
    naming = [*_naming(config.datastores, _READERS), *_naming(config.compute, _READERS)]
    return sorted({str(settings["conn_id"]) for _, settings, _ in naming})


def with_connections(workspace: Workspace, connections: Mapping[str, Connection]) -> Workspace:
    """Return the workspace with every ``conn_id`` replaced by what its connection says.

    :param connections: by their ids.
    :raises ConfigError: if a connection does not say what is needed.
    """
    found = {
        "datastores": _told("Datastore", workspace.config.datastores, connections),
        "compute": _told("Compute target", workspace.config.compute, connections),
    }
    if found == {"datastores": workspace.config.datastores, "compute": workspace.config.compute}:
        return workspace
    return Workspace(replaced(workspace.config, **found), workspace.folder)


def _told(noun: str, known: Mapping[str, Mapping[str, Any]], connections: Mapping[str, Connection]) -> dict[str, Any]:
    """Return the settings with what their connections say."""
    told = {name: dict(settings) for name, settings in known.items()}
    for name, settings, reader in _naming(known, _READERS):
        conn_id, rest = _without(f"{noun} {name!r}", settings, reader.says)
        told[name] = {**rest, **reader.read(connections[conn_id], conn_id)}
    return told


def _naming(
    known: Mapping[str, Mapping[str, Any]], readers: Mapping[str, _Reader]
) -> list[tuple[str, Mapping[str, Any], _Reader]]:
    return [
        (name, settings, readers[str(settings["type"])])
        for name, settings in known.items()
        if "conn_id" in settings and settings.get("type") in readers
    ]


def _without(what: str, settings: Mapping[str, Any], told: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Return the connection that settings name, and the rest of them."""
    conn_id = str(settings["conn_id"])
    for key in told:
        if key in settings:
            raise ConfigError(f"{what}: remove {key!r}, the connection {conn_id!r} says it.")
    return conn_id, {key: value for key, value in settings.items() if key != "conn_id"}


def _cluster(connection: Connection, conn_id: str) -> dict[str, Any]:
    if connection.conn_type != _CLUSTER_TYPE:
        raise ConfigError(
            f"The connection {conn_id!r} has the type {connection.conn_type!r}; a compute target of type {_CLUSTER} "
            f"needs {_CLUSTER_TYPE!r}: the address of Ray's dashboard, and the token as the password."
        )
    host = connection.host or ""
    if not host:
        raise ConfigError(f"The connection {conn_id!r} names no host: fill in that of Ray's dashboard.")
    address = host if "://" in host else f"{connection.schema or 'http'}://{host}"
    token = {"token": Secret(connection.password)} if connection.password else {}
    return {"address": f"{address}:{connection.port}" if connection.port else address, **token}


def _settings(connection: Connection, conn_id: str) -> dict[str, Any]:
    if connection.conn_type != _TYPE:
        raise ConfigError(
            f"The connection {conn_id!r} has the type {connection.conn_type!r}; a datastore of type {_DATASTORE} needs "
            f"{_TYPE!r} (Azure Blob Storage)."
        )
    extra = connection.extra_dejson
    secret = _field(extra, "connection_string")
    if secret:
        return {"credential": {"connection_string": Secret(secret)}}
    return {**_address(connection, conn_id), "credential": _credential(connection, extra)}


def _address(connection: Connection, conn_id: str) -> dict[str, str]:
    host = connection.host or ""
    if host:
        return {"account_url": host if "://" in host else f"https://{host}"}
    if connection.login:
        return {"account_name": connection.login}
    raise ConfigError(f"The connection {conn_id!r} names no account: fill in its host (https://...) or its login.")


def _credential(connection: Connection, extra: Mapping[str, Any]) -> dict[str, Any]:
    password = connection.password or ""
    tenant, sas = _field(extra, "tenant_id"), _field(extra, "sas_token")
    key = _field(extra, "shared_access_key")
    if tenant and password:
        return {"client_secret": {"tenant_id": tenant, "client_id": connection.login or "", "secret": Secret(password)}}
    if sas:
        return {"sas_token": Secret(sas.partition("?")[2] or sas)}
    if key or password:
        return {"account_key": Secret(key or password)}
    managed, workload = _field(extra, "managed_identity_client_id"), _field(extra, "workload_identity_tenant_id")
    if workload:
        return {"workload_identity": {"tenant_id": workload, **({"client_id": managed} if managed else {})}}
    return {"managed_identity": {"client_id": managed}} if managed else {"default": {}}


def _field(extra: Mapping[str, Any], name: str) -> str:
    """Return a field of the extra; connections of older Airflows have a prefix before the names."""
    return str(extra.get(name) or extra.get(f"extra__wasb__{name}") or "")


class _Reader(NamedTuple):
    """How a connection is read for a type of datastore or target, and the settings that it says."""

    says: tuple[str, ...]
    read: Callable[[Connection, str], dict[str, Any]]


_READERS = {
    _DATASTORE: _Reader(("credential", "account_url", "account_name"), _settings),
    _CLUSTER: _Reader(("address", "token"), _cluster),
    "ssh": _Reader(TOLD, ssh_connection),
    "sftp": _Reader(TOLD, ssh_connection),
    "slurm": _Reader(TOLD, ssh_connection),
}
