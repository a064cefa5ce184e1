"""Datastores that name an Airflow connection: ``conn_id`` becomes an address and a credential.

The rooms below Airflow know no connections, so this is done before a workspace is used. The forms of a ``wasb``
connection are those that Airflow's own ``WasbHook`` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.workspace import Workspace

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

_TYPE = "wasb"
_DATASTORE = "azure_blob"


def wanted_connections(workspace: Workspace) -> list[str]:
    """Return the connections that the datastores of a workspace name, sorted."""
    named = {str(settings["conn_id"]) for settings in _naming(workspace).values()}
    return sorted(named)


def with_connections(workspace: Workspace, connections: Mapping[str, Connection]) -> Workspace:
    """Return the workspace with every ``conn_id`` replaced by what its connection says.

    :param connections: by their ids.
    :raises ConfigError: if a connection does not say what is needed.
    """
    naming = _naming(workspace)
    if not naming:
        return workspace
    datastores = dict(workspace.config.datastores)
    for name, settings in naming.items():
        conn_id = str(settings["conn_id"])
        rest = {key: value for key, value in settings.items() if key != "conn_id"}
        for key in ("credential", "account_url", "account_name"):
            if key in rest:
                raise ConfigError(f"Datastore {name!r}: remove {key!r}, the connection {conn_id!r} says it.")
        datastores[name] = {**rest, **_settings(connections[conn_id], conn_id)}
    return Workspace(workspace.config.model_copy(update={"datastores": datastores}), workspace.folder)


def _naming(workspace: Workspace) -> dict[str, Mapping[str, Any]]:
    return {
        name: settings
        for name, settings in workspace.config.datastores.items()
        if settings.get("type") == _DATASTORE and "conn_id" in settings
    }


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
