"""Jobs on a machine that is reached over SSH."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.base import JobHandle
from airflow_mlpipe.compute.far_side.records import INPUTS, OUTPUTS
from airflow_mlpipe.compute.folder_target import FolderTarget
from airflow_mlpipe.compute.job_parts import Capabilities, Carried, Role
from airflow_mlpipe.compute.ssh.place import SSHPlace
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.ssh import check_ssh_keys, read_ssh_settings

FURTHER_KEYS = ("workdir", "python", "shares_files", "moves_data", "conn_id", "private_key", "host_key")
"""The settings of the target beside those of SSH; the last three come from an Airflow connection."""
_PATH = re.compile(r"/[^\0\n]*[^\0\n/]")
_PYTHON = re.compile(r"[^\0\n-][^\0\n]*")


class SSHTarget(FolderTarget):
    """Runs each job under a launcher of its own on another machine, which needs Python 3.8 and an SSH server.

    A job survives the end of the connection, of the worker and of the SSH server; it does not survive its machine. The
    jobs of all workspaces with the same host, user and ``workdir`` are the same jobs.

    :param name: the name under which the workspace knows it.
    :param place: host and working folder.
    :param shares_files: the host sees the files of whoever submits, under the same paths; nothing is copied then.
    :param moves_data: the host fetches inputs from the store, and sends outputs to it, where it lets it.
    """

    def __init__(self, name: str, place: SSHPlace, *, shares_files: bool = False, moves_data: bool = False) -> None:
        super().__init__(name, place)
        self.far = place
        self.capabilities = Capabilities(shares_files=shares_files, moves_data=moves_data)

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> SSHTarget:
        """Build it from ``{"type": "ssh", "host": ..., "workdir": ..., ...}``; nobody is connected to.

        :param folder: relative paths of key files start from it.
        :raises ConfigError: if a key is unknown or a value is wrong.
        """
        where = f"compute {name}"
        check_ssh_keys(where, config, FURTHER_KEYS)
        shares_files, moves_data = (read_flag(where, config, key) for key in ("shares_files", "moves_data"))
        return cls(name, read_place(where, config, folder), shares_files=shares_files, moves_data=moves_data)

    def seen_as(self, key: str, role: Role, port: str, here: Path) -> str:
        """Return the path under which the job sees its data: in the job's own folder, unless files are shared."""
        if self.capabilities.shares_files:
            return str(here)
        if role == "input":
            top = f"{self.place.folder(key)}/{INPUTS}/{port}"
            return f"{top}/{here.name}" if here.is_file() else top
        return f"{self.place.folder(key)}/{OUTPUTS}/{port}"

    async def collect(self, handle: JobHandle, carried: Sequence[Carried]) -> None:
        """Bring the outputs of a job that ended well here, each file verified by its SHA-256."""
        outputs = [item for item in carried if item.role == "output" and item.travels]
        if outputs:
            await self.far.fetch(handle.key, outputs)


def read_place(where: str, config: Mapping[str, Any], folder: Path) -> SSHPlace:
    """Return host and working folder of a target.

    :param where: names the target in errors, ``compute gpu-box``.
    :raises ConfigError: if a value is wrong.
    """
    if "conn_id" in config:
        raise ConfigError(
            f"{where}: 'conn_id' names an Airflow connection, which only Airflow can read. Outside of Airflow write "
            "'host' and 'key_file' instead."
        )
    workdir, python = config.get("workdir"), config.get("python", "python3")
    if not isinstance(workdir, str) or not _PATH.fullmatch(workdir) or "/../" in f"{workdir}/":
        raise ConfigError(
            f"{where}: 'workdir' is {workdir!r}; write the absolute path of a folder on the host, in which its user "
            "may write, such as /srv/mlpipe."
        )
    if not isinstance(python, str) or not _PYTHON.fullmatch(python):
        raise ConfigError(f"{where}: 'python' is {python!r}; write the path of a Python 3.8 or later on the host.")
    return SSHPlace(read_ssh_settings(where, config, folder), workdir, python)


def read_flag(where: str, config: Mapping[str, Any], key: str) -> bool:
    """Return a setting that is true or false, and false if it is not given.

    :raises ConfigError: if it is anything else.
    """
    value = config.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{where}: {key!r} is {value!r}; allowed are true and false.")
    return value
