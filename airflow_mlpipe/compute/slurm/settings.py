"""What ``workspace.yml`` says of a Slurm cluster, checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_mlpipe.errors import ConfigError

SLURM_KEYS = ("partition", "account", "qos", "conf", "mpi", "gpu_type", "sbatch_options")
"""The settings that :func:`read_slurm_settings` reads."""

_OPTIONS = ("constraint", "exclude", "licenses", "nice", "nodelist", "reservation")
"""Options of sbatch that a workspace may set; the others are ours, or would make a job that is not ours any more."""
_WORD = re.compile(r"(?!-)[A-Za-z0-9_.,:+=@&|*()\[\]-]{1,200}|-[0-9]{1,10}")


@dataclass(frozen=True)
class SlurmSettings:
    """How jobs are given to a cluster.

    :param where: names the settings in errors.
    :param conf: path of ``slurm.conf`` on the login node, where it is not the usual one.
    :param mpi: kind of MPI that ``srun`` shall set up; ``None`` for the cluster's default.
    :param gpu_type: which of the cluster's GPUs.
    :param options: of sbatch, name to value.
    """

    where: str
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    conf: str | None = None
    mpi: str | None = None
    gpu_type: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def read_slurm_settings(where: str, config: Mapping[str, Any]) -> SlurmSettings:
    """Check the settings of a cluster; keys that are not of :data:`SLURM_KEYS` are for the caller to check.

    :param where: names them in errors, ``compute cluster``.
    :raises ConfigError: naming what is wrong.
    """
    conf = config.get("conf")
    if conf is not None and not (isinstance(conf, str) and conf.startswith("/") and conf.isprintable()):
        raise ConfigError(f"{where}: 'conf' is {conf!r}; write the absolute path of slurm.conf on the login node.")
    options = config.get("sbatch_options", {})
    if not isinstance(options, Mapping):
        raise ConfigError(f"{where}: 'sbatch_options' is {options!r}; write {{constraint: ..., nodelist: ...}}.")
    for name in options:
        if name not in _OPTIONS:
            close = difflib.get_close_matches(str(name), _OPTIONS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"{where}: sbatch_options knows no {name!r}. Known: {', '.join(_OPTIONS)}.{hint}")
    words = {key: _word(where, key, config.get(key)) for key in ("partition", "account", "qos", "mpi", "gpu_type")}
    checked = {name: _word(where, f"sbatch_options.{name}", str(value)) or "" for name, value in options.items()}
    return SlurmSettings(where, conf=conf, options=checked, **words)


def _word(where: str, key: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ConfigError(f"{where}: {key!r} is {value!r}; write the word that Slurm knows, without spaces.")
    return value
