"""Where an Airflow is and who is calling; secrets come from the environment or a file, never from a command line."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.redaction import Secret, read_secret

URL_VARIABLE = "MLPIPE_AIRFLOW_URL"
USER_VARIABLE = "MLPIPE_AIRFLOW_USER"
PASSWORD_VARIABLE = "MLPIPE_AIRFLOW_PASSWORD"  # noqa: S105 - the name of a variable
TOKEN_VARIABLE = "MLPIPE_AIRFLOW_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True)
class Login:
    """An Airflow and what opens it.

    :param url: of the API server, without a slash at the end.
    :param token: a bearer token; it goes before user and password.
    :param user: whose token is asked for at ``/auth/token``, with ``password``.
    """

    url: str
    token: Secret | None = None
    user: str | None = None
    password: Secret | None = None

    @property
    def is_local(self) -> bool:
        """Whether the Airflow runs on this machine; no proxy is asked then."""
        return _is_loopback(urlsplit(self.url).hostname or "")


@dataclass(frozen=True)
class Given:
    """What the command line says; ``None``: look in the environment.

    :param allow_http: send secrets unencrypted to another machine.
    """

    url: str | None = None
    user: str | None = None
    token_file: Path | None = None
    password_file: Path | None = None
    allow_http: bool = False


def read_login(given: Given, environment: Mapping[str, str] = os.environ) -> Login:
    """Return the login of a command.

    :raises ConfigError: if the address is missing or wrong, or a secret cannot be read.
    """
    url = given.url or environment.get(URL_VARIABLE, "")
    if not url:
        raise ConfigError(
            f"Which Airflow? Give --url https://airflow.example.com, or set the environment variable {URL_VARIABLE}."
        )
    secrets = (
        _secret("--token-file", given.token_file, environment.get(TOKEN_VARIABLE)),
        _secret("--password-file", given.password_file, environment.get(PASSWORD_VARIABLE)),
    )
    login = Login(_address(url), secrets[0], given.user or environment.get(USER_VARIABLE) or None, secrets[1])
    if login.token is None and login.user is not None and login.password is None:
        raise ConfigError(
            f"The password of {login.user!r} is missing. Give --password-file FILE, or set the environment variable "
            f"{PASSWORD_VARIABLE}."
        )
    if any(secrets) and login.url.startswith("http:") and not (login.is_local or given.allow_http):
        raise ConfigError(
            "This would send the credentials unencrypted over the network. Use https://, or add --allow-http if the "
            "network is trusted."
        )
    return login


def _address(url: str) -> str:
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("--url is no address of an API server. Write for example --url https://airflow.example.com.")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigError(
            "--url must hold no user, password, query or fragment. Give the user as --user, the password in a file or "
            f"in the environment variable {PASSWORD_VARIABLE}."
        )
    return url.rstrip("/")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _secret(option: str, path: Path | None, text: str | None) -> Secret | None:
    if path is not None:
        return read_secret(option, {"file": str(path)}, Path.cwd())
    return Secret(text.strip()) if text and text.strip() else None
