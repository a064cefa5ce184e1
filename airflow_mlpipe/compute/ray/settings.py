"""What ``workspace.yml`` says of a Ray cluster, checked."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_mlpipe.compute.settings import check_keys
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.redaction import Secret, read_secret

_KEYS = {
    "type",
    "address",
    "token",
    "workdir",
    "python",
    "environments",
    "ca_bundle",
    "conn_id",
    "moves_data",
    "node_workdir",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PYTHON = "python3"
_warned: set[str] = set()
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RaySettings:
    """Where a cluster is and how jobs run on it.

    :param name: of the target.
    :param address: of the dashboard, without a slash at its end.
    :param token: what every request carries, ``None`` where the cluster wants none.
    :param workdir: folder of the jobs, which this machine and every node see under the same path; ``None`` where
        nothing is shared.
    :param python: interpreter on the nodes, for our launcher and for steps without an environment.
    :param environments: folder of built environments, also shared; ``None`` for one in ``workdir``.
    :param node_workdir: folder on each node for jobs, where nothing is shared.
    :param moves_data: nodes fetch inputs from the store, and send outputs to it, where it lets them.
    :param ca_bundle: file of certificate authorities, instead of the usual ones.
    """

    name: str
    address: str
    token: Secret | None
    workdir: Path | None
    python: str = _PYTHON
    environments: Path | None = None
    ca_bundle: str | None = None
    moves_data: bool = False
    node_workdir: str = "/tmp/mlpipe-jobs"  # noqa: S108 - made with mode 0700, for the cluster's user alone


def read_ray_settings(name: str, config: Mapping[str, Any], folder: Path) -> RaySettings:
    """Check the settings of a target and read its token.

    :param folder: where relative paths start.
    :raises ConfigError: if a setting is unknown, missing or wrong, or the token is written out.
    """
    check_keys(name, config, _KEYS)
    if "conn_id" in config:
        raise ConfigError(
            f"compute {name}: 'conn_id' names an Airflow connection, which only exists inside of Airflow. For mlpipe "
            "on the command line write 'address' and 'token'."
        )
    given = {key: value for key, value in config.items() if value is not None}
    token = read_secret(f"compute {name}: token", given["token"], folder) if "token" in given else None
    texts = {key: _text(name, key, value) for key, value in given.items() if key not in ("token", "type", "moves_data")}
    address = _address(name, texts.get("address", ""), token)
    return RaySettings(
        name,
        address,
        token,
        (folder / texts["workdir"]).resolve() if "workdir" in texts else None,
        _python(name, texts.get("python", _PYTHON)),
        (folder / texts["environments"]).resolve() if "environments" in texts else None,
        str(folder / texts["ca_bundle"]) if "ca_bundle" in texts else None,
        _flag(name, given.get("moves_data", False)),
        _node_workdir(name, texts.get("node_workdir", RaySettings.node_workdir)),
    )


def _text(name: str, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ConfigError(f"compute {name}: {key} is {value!r}; write it as text.")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"compute {name}: moves_data is {value!r}; write true or false.")
    return value


def _node_workdir(name: str, value: str) -> str:
    if not value.startswith("/") or "/../" in f"{value}/":
        raise ConfigError(f"compute {name}: node_workdir is {value!r}; write an absolute path on the nodes.")
    return value.rstrip("/")


def _python(name: str, value: str) -> str:
    if shlex.quote(value) != value or value.startswith("-"):
        raise ConfigError(
            f"compute {name}: python is {value!r}; write the name or the path of an interpreter on the nodes, without "
            "spaces, such as /usr/bin/python3."
        )
    return value


def _address(name: str, address: str, token: Secret | None) -> str:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"compute {name}: address is {address!r}; write that of Ray's dashboard, such as http://ray-head:8265. "
            "An address that begins with ray:// is another protocol."
        )
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ConfigError(f"compute {name}: address must not hold a query or a password. Write the token as 'token'.")
    if parts.scheme == "http" and token is not None and parts.hostname not in _LOOPBACK and address not in _warned:
        _warned.add(address)
        _log.warning(
            "compute %s: %s is not encrypted, so the cluster's token can be read on the way. Put TLS before it.",
            name,
            address,
        )
    return address.rstrip("/")
