"""What ``workspace.yml`` says of an SFTP datastore, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.ssh import SSHSettings, check_ssh_keys, read_ssh_settings

_CONNECTION_KEYS = ("private_key", "host_key")
"""Settings that only an Airflow connection can say; see :mod:`airflow_mlpipe.hooks.connections`."""


@dataclass(frozen=True)
class SFTPSettings:
    """Where a datastore lies.

    :param name: of the datastore.
    :param ssh: how its host is reached.
    :param path: its root there; a relative one starts from the folder that a login begins in.
    """

    name: str
    ssh: SSHSettings
    path: str


def read_settings(name: str, config: Mapping[str, Any], folder: Path) -> SFTPSettings:
    """Check the settings of a datastore.

    :param folder: where relative paths of this machine start.
    :raises ConfigError: if a setting is unknown, missing or wrong.
    """
    where = f"Datastore {name!r}"
    if "conn_id" in config:
        raise ConfigError(
            f"{where}: 'conn_id' names an Airflow connection, which only exists inside of Airflow. For mlpipe on the "
            f"command line write 'host', 'user' and 'key_file'."
        )
    check_ssh_keys(where, config, ("path", "conn_id", *_CONNECTION_KEYS))
    path = config.get("path")
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigError(f"{where} needs 'path', its folder on that machine. Write for example path: /data/landing.")
    return SFTPSettings(name, read_ssh_settings(where, config, folder), path)
