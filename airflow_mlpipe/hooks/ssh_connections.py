"""What an Airflow connection of type ``ssh`` says of a host, as a workspace would say it.

The fields are those that Airflow's own ``SSHHook`` reads, with one difference: ``no_host_key_check``, which is on there
unless somebody turns it off, is not read. Whoever wants to believe any host says so in the workspace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.redaction import Secret

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

SSH_TYPES = ("ssh", "sftp")
TOLD = ("host", "port", "user", "key_file", "private_key", "passphrase", "password", "host_key")
"""The settings that a connection says."""


def ssh_connection(connection: Connection, conn_id: str) -> dict[str, Any]:
    """Return the settings of :data:`TOLD` that a connection says; secrets as such.

    :raises ConfigError: if it is of another type or names no host.
    """
    if connection.conn_type not in SSH_TYPES:
        raise ConfigError(
            f"The connection {conn_id!r} has the type {connection.conn_type!r}; a host that is reached over SSH needs "
            "'ssh': host and login, and a key as key_file or private_key of its extra."
        )
    if not connection.host:
        raise ConfigError(f"The connection {conn_id!r} names no host: fill in the name or address of the machine.")
    extra = connection.extra_dejson
    key = str(extra.get("host_key") or "")
    found = {
        "host": connection.host,
        "port": connection.port,
        "user": connection.login,
        "key_file": extra.get("key_file"),
        "private_key": _secret(extra.get("private_key")),
        "passphrase": _secret(extra.get("private_key_passphrase")),
        "password": _secret(connection.password),
        "host_key": key if " " in key or not key else f"ssh-rsa {key}",
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def _secret(value: object) -> Secret | None:
    return Secret(str(value)) if value else None
