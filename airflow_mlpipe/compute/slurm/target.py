"""Slurm targets: the login node is this machine, or a host that is reached over SSH."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.environments import EnvironmentCache
from airflow_mlpipe.compute.job_parts import Capabilities
from airflow_mlpipe.compute.local_place import LocalPlace
from airflow_mlpipe.compute.place import Place
from airflow_mlpipe.compute.settings import check_keys
from airflow_mlpipe.compute.slurm.jobs import SlurmJobs
from airflow_mlpipe.compute.slurm.request import DISTRIBUTIONS
from airflow_mlpipe.compute.slurm.settings import SLURM_KEYS, SlurmSettings, read_slurm_settings
from airflow_mlpipe.compute.ssh.target import FURTHER_KEYS, SSHTarget, read_flag, read_place
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.ssh import check_ssh_keys

_HERE = ("type", "workdir", "python", *SLURM_KEYS)
_GIVES = frozenset({"cpus", "memory", "gpus", "instance_count"})


class SlurmTarget(SlurmJobs):
    """Jobs of a cluster whose login node is this machine; ``workdir`` is a folder that all nodes see.

    The log, the exit record and the folder of a job are as everywhere; Slurm decides when it starts, and where.
    """

    capabilities = Capabilities(gives=_GIVES, distributions=DISTRIBUTIONS)

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> SlurmJobs:
        """Build it from ``{"type": "slurm", "workdir": ..., "host"?: ..., "partition"?: ..., ...}``.

        With ``host`` the login node is reached as an SSH target is, see :class:`SSHTarget`; nobody is connected to.

        :param folder: relative paths of this machine start from it.
        :raises ConfigError: if a key is unknown or a value is wrong.
        """
        where = f"compute {name}"
        settings = read_slurm_settings(where, config)
        if "host" in config or "conn_id" in config:
            return _remote(name, config, folder, settings)
        check_keys(name, config, {*_HERE, "host", "user", "key_file"})
        workdir, python = config.get("workdir"), config.get("python", sys.executable)
        if not isinstance(workdir, str) or not workdir.strip() or not isinstance(python, str) or not python.strip():
            raise ConfigError(f"{where}: write 'workdir', a folder that this machine and all nodes of the cluster see.")
        root = (folder / workdir).resolve()
        return cls(name, LocalPlace(root, folder / python, EnvironmentCache(root / "environments")), settings)


class RemoteSlurmTarget(SlurmJobs, SSHTarget):
    """Jobs of a cluster whose login node is reached over SSH."""

    def __init__(self, name: str, place: Place, settings: SlurmSettings) -> None:
        SlurmJobs.__init__(self, name, place, settings)


def _remote(name: str, config: Mapping[str, Any], folder: Path, settings: SlurmSettings) -> SlurmJobs:
    where = f"compute {name}"
    check_ssh_keys(where, config, (*FURTHER_KEYS, *SLURM_KEYS))
    shares, moves = (read_flag(where, config, key) for key in ("shares_files", "moves_data"))
    place = read_place(where, config, folder)
    target = RemoteSlurmTarget(name, place, settings)
    target.far = place
    target.capabilities = Capabilities(shares_files=shares, moves_data=moves, gives=_GIVES, distributions=DISTRIBUTIONS)
    return target
