"""What ``workspace.yml`` says of an Azure Blob datastore, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_mlpipe.datastores.paths import data_segments
from airflow_mlpipe.datastores.settings import check_settings
from airflow_mlpipe.errors import ConfigError, DataError
from airflow_mlpipe.redaction import Secret, read_secret

_SETTINGS = (
    "type",
    "account_url",
    "account_name",
    "container",
    "prefix",
    "credential",
    "conn_id",
    "ca_bundle",
    "retries",
)
_CONTAINER = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]|\$root|\$web")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_SECRETS = ("account_key", "connection_string", "sas_token")
_IDENTITIES = {
    "default": ((), ("client_id", "tenant_id")),
    "managed_identity": ((), ("client_id",)),
    "workload_identity": ((), ("client_id", "tenant_id")),
    "client_secret": (("tenant_id", "client_id", "secret"), ()),
}
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Credential:
    """How to prove who we are.

    :param kind: ``account_key``, ``connection_string``, ``sas_token``, or an identity: ``default``,
        ``managed_identity``, ``workload_identity``, ``client_secret``.
    :param secret: the secret of that kind, if it has one.
    :param values: what is not secret.
    """

    kind: str
    secret: Secret | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BlobSettings:
    """Where a datastore lies.

    :param name: of the datastore.
    :param account_url: without a query; empty if the connection string says it.
    :param container: the container.
    :param prefix: path in it, without slashes around it; empty for all of it.
    :param ca_bundle: file of certificate authorities, instead of the usual ones.
    :param retries: how often a request is repeated when the service is busy or does not answer; waits 2, 3, 5, 9, 17 s.
    """

    name: str
    account_url: str
    container: str
    prefix: str
    credential: Credential
    ca_bundle: str | None = None
    retries: int = 5


def read_settings(name: str, config: Mapping[str, Any], folder: Path) -> BlobSettings:
    """Check the settings of a datastore and read its secret.

    :param folder: where relative paths start.
    :raises ConfigError: if a setting is unknown, missing or wrong, or a secret is written out.
    """
    check_settings(name, config, _SETTINGS)
    if "conn_id" in config:
        raise ConfigError(
            f"Datastore {name!r}: 'conn_id' names an Airflow connection, which only exists inside of Airflow. For "
            f"mlpipe on the command line write 'credential', for example credential: default."
        )
    credential = _credential(name, config.get("credential", "default"), folder)
    container = _text(name, config, "container", "for example container: mlpipe")
    if not _CONTAINER.fullmatch(container):
        raise ConfigError(
            f"Datastore {name!r}: the container {container!r} is not allowed. Azure wants 3 to 63 lower-case letters, "
            f"digits and single '-'."
        )
    ca_bundle = config.get("ca_bundle")
    return BlobSettings(
        name,
        _account_url(name, config, credential),
        container,
        _prefix(name, config.get("prefix") or ""),
        credential,
        str(folder / str(ca_bundle)) if ca_bundle else None,
        _retries(name, config.get("retries", 5)),
    )


def _retries(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 20:
        raise ConfigError(f"Datastore {name!r}: 'retries' is {value!r}; allowed is a number from 0 to 20.")
    return value


def _account_url(name: str, config: Mapping[str, Any], credential: Credential) -> str:
    if credential.kind == "connection_string":
        for key in ("account_url", "account_name"):
            if key in config:
                raise ConfigError(f"Datastore {name!r}: the connection string says where the account is, remove {key}.")
        return ""
    if ("account_url" in config) == ("account_name" in config):
        raise ConfigError(
            f"Datastore {name!r} needs either 'account_name' or 'account_url'. Write for example "
            f"account_url: https://myaccount.blob.core.windows.net."
        )
    if "account_name" in config:
        account = _text(name, config, "account_name", "the name of the storage account")
        if not _ACCOUNT.fullmatch(account):
            raise ConfigError(
                f"Datastore {name!r}: the account name {account!r} is not allowed: 3 to 24 lower-case letters "
                f"and digits."
            )
        return f"https://{account}.blob.core.windows.net"
    return checked_url(name, _text(name, config, "account_url", "https://myaccount.blob.core.windows.net"))


def checked_url(name: str, url: str) -> str:
    """Return the address of an account without a slash at its end.

    :raises ConfigError: if it holds a secret, or would carry one in the clear.
    """
    parts = urlsplit(url)
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ConfigError(
            f"Datastore {name!r}: 'account_url' must not hold a query, signature or password. Write the SAS token as "
            f"credential: {{sas_token: {{env: NAME}}}}."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"Datastore {name!r}: 'account_url' must begin with https:// and name a host.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ConfigError(
            f"Datastore {name!r}: 'account_url' must begin with https://, or keys and data could be read on the way. "
            f"Only the emulator on this machine may be reached over http."
        )
    return url.rstrip("/")


def _prefix(name: str, prefix: Any) -> str:
    try:
        return "/".join(data_segments(str(prefix).strip("/")))
    except DataError as error:
        raise ConfigError(f"Datastore {name!r}: prefix: {error}") from None


def _credential(name: str, value: Any, folder: Path) -> Credential:
    kinds = (*_SECRETS, *_IDENTITIES)
    if isinstance(value, str) and value in _IDENTITIES:
        value = {value: {}}
    if not isinstance(value, Mapping) or len(value) != 1 or next(iter(value)) not in kinds:
        raise ConfigError(
            f"Datastore {name!r}: 'credential' must be one of {', '.join(kinds)}; see docs/azure-blob.md."
        )
    kind, inner = next(iter(value.items()))
    where = f"Datastore {name!r}: credential.{kind}"
    if kind in _SECRETS:
        return Credential(kind, read_secret(where, inner, folder))
    required, optional = _IDENTITIES[kind]
    if not isinstance(inner, Mapping) or not set(required) <= set(inner) <= {*required, *optional}:
        allowed = ", ".join((*required, *(f"{key} (optional)" for key in optional)))
        raise ConfigError(f"{where} has these keys: {allowed or 'none'}.")
    values = {key: str(text) for key, text in inner.items() if key != "secret"}
    secret = read_secret(f"{where}.secret", inner["secret"], folder) if "secret" in inner else None
    return Credential(kind, secret, values)


def _text(name: str, config: Mapping[str, Any], key: str, example: str) -> str:
    value = config.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"Datastore {name!r} needs {key!r}: {example}.")
    return value
