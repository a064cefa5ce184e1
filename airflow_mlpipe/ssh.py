"""Hosts that are reached over SSH: which one, as whom, and how we know that it is the right one.

The one place where a host's key is judged and a connection is opened; compute targets and datastores both come here.
Nothing is read from ``~/.ssh/config``: a setting there, such as ``StrictHostKeyChecking no``, must not weaken a
workspace.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.redaction import Secret, read_secret

if TYPE_CHECKING:
    import asyncssh

SSH_KEYS = ("host", "port", "user", "key_file", "passphrase", "password", "known_hosts", "insecure_host_key")
"""The settings that :func:`read_ssh_settings` reads."""

_HOST = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]+)?"
)
_USER = re.compile(r"[^\s@:/\0-][^\s@:/\0]{0,254}")
_USUAL_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
_USUAL_PORT = 22
_CONNECT_PATIENCE = 20.0
_LOGIN_PATIENCE = 30.0
_SIGN_OF_LIFE = 15.0
_MISSED_SIGNS = 4


@dataclass(frozen=True)
class SSHSettings:
    """How a host is reached.

    :param where: names the settings in errors, such as ``compute gpu-box``.
    :param user: ``None`` for the user of this process.
    :param key_file: private key; ``None`` for the usual ones of ``~/.ssh`` and the agent's.
    :param private_key: the key itself, as an Airflow connection may hold it.
    :param passphrase: of the private key.
    :param known_hosts: file of the keys of hosts; ``None`` for ``~/.ssh/known_hosts`` and the machine's own.
    :param host_key: the host's public key, as ``known_hosts`` would have it, instead of a file.
    :param insecure_host_key: believe whoever answers.
    """

    where: str
    host: str
    port: int = _USUAL_PORT
    user: str | None = None
    key_file: Path | None = None
    private_key: Secret | None = None
    passphrase: Secret | None = None
    password: Secret | None = None
    known_hosts: Path | None = None
    host_key: str | None = None
    insecure_host_key: bool = False

    @property
    def address(self) -> str:
        """What people call the host; no secret in it."""
        port = "" if self.port == _USUAL_PORT else f":{self.port}"
        return f"{f'{self.user}@' if self.user else ''}{self.host}{port}"


def read_ssh_settings(where: str, config: Mapping[str, Any], folder: Path) -> SSHSettings:
    """Check the settings of a host.

    :param where: names them in errors, such as ``datastore landing``.
    :param config: the keys of :data:`SSH_KEYS`, and ``private_key`` and ``host_key`` where a connection says them;
        others are for the caller to check.
    :param folder: where relative paths start.
    :raises ConfigError: naming what is wrong.
    """
    host, user = config.get("host"), config.get("user")
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        raise ConfigError(
            f"{where}: 'host' is {host!r}; write the name or address of the machine, such as gpu-box.example.org."
        )
    if user is not None and not (isinstance(user, str) and _USER.fullmatch(user)):
        raise ConfigError(f"{where}: 'user' is {user!r}; write the name of a user of that machine.")
    insecure = config.get("insecure_host_key", False)
    if not isinstance(insecure, bool):
        raise ConfigError(f"{where}: 'insecure_host_key' is {insecure!r}; allowed are true and false.")
    if insecure and ("known_hosts" in config or "host_key" in config):
        raise ConfigError(
            f"{where}: remove 'insecure_host_key' or the keys of known hosts; they contradict each other."
        )
    return SSHSettings(
        where,
        host,
        _port(where, config.get("port", _USUAL_PORT)),
        user,
        _path(where, config, "key_file", folder),
        _secret(where, config, "private_key", folder),
        _secret(where, config, "passphrase", folder),
        _secret(where, config, "password", folder),
        _path(where, config, "known_hosts", folder),
        config.get("host_key"),
        insecure,
    )


async def connect(settings: SSHSettings) -> asyncssh.SSHClientConnection:
    """Open a connection whose host is the one that it should be.

    :raises ConfigError: if the host's key is not known or another one, the host does not accept us, a key cannot be
        read, or asyncssh is not installed.
    :raises ConnectionError: if the host cannot be reached; it may be later.
    """
    import asyncio  # noqa: PLC0415 - slow to import; whoever only reads settings connects to nobody

    library = await asyncio.to_thread(load_library, settings.where)
    try:
        options = await asyncio.to_thread(_options, settings, library)
        connection: asyncssh.SSHClientConnection = await library.connect(settings.host, settings.port, **options)
    except library.HostKeyNotVerifiable:
        raise ConfigError(_unknown_host(settings)) from None
    except library.PermissionDenied:
        raise ConfigError(
            f"{settings.where}: {settings.address} does not accept {_offered(settings)}. Check the user, and that the "
            f"public key is in the authorized_keys of that user."
        ) from None
    except (OSError, library.Error, asyncio.TimeoutError) as error:
        raise ConnectionError(
            f"{settings.where}: {settings.address} cannot be reached over SSH: {_reason(error)}. Check the host's "
            f"name, the network, and that its SSH server is up."
        ) from None
    return connection


def check_ssh_keys(where: str, config: Mapping[str, Any], further: tuple[str, ...]) -> None:
    """Refuse a setting that is neither of SSH nor among the further ones.

    :raises ConfigError: with the closest known one.
    """
    known = ("type", *SSH_KEYS, *further)
    for key in sorted(map(str, set(config) - set(known))):
        close = difflib.get_close_matches(key, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"{where}: unknown setting {key!r}. Known: {', '.join(known)}.{hint}")


def _port(where: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 16:
        raise ConfigError(f"{where}: 'port' is {value!r}; allowed is a number from 1 to 65535.")
    return value


def _path(where: str, config: Mapping[str, Any], key: str, folder: Path) -> Path | None:
    value = config.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ConfigError(f"{where}: {key!r} is {value!r}; write the path of a file as text.")
    return folder / Path(value).expanduser()


def _secret(where: str, config: Mapping[str, Any], key: str, folder: Path) -> Secret | None:
    return read_secret(f"{where}: {key}", config[key], folder) if key in config else None


def load_library(where: str) -> Any:
    """Return asyncssh.

    :param where: names who needs it.
    :raises ConfigError: if it is not installed.
    """
    try:
        import asyncssh  # noqa: PLC0415 - slow to import, and an extra
    except ImportError:
        raise ConfigError(
            f"{where}: SSH needs the extra 'ssh'. Install it: pip install 'airflow-mlpipe[ssh]'."
        ) from None
    logger = logging.getLogger("asyncssh")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)  # otherwise several lines for each connection in every task log
    return asyncssh


def _options(settings: SSHSettings, library: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "config": None,
        "known_hosts": _known_hosts(settings, library),
        "connect_timeout": _CONNECT_PATIENCE,
        "login_timeout": _LOGIN_PATIENCE,
        "keepalive_interval": _SIGN_OF_LIFE,
        "keepalive_count_max": _MISSED_SIGNS,
        "password": settings.password.reveal() if settings.password else None,
    }
    if settings.user:
        options["username"] = settings.user
    if settings.key_file or settings.private_key:
        options |= {"client_keys": [_key(settings, library)], "agent_path": None}
    elif settings.password:
        options |= {"client_keys": None, "agent_path": None}
    return options


def _key(settings: SSHSettings, library: Any) -> Any:
    passphrase = settings.passphrase.reveal() if settings.passphrase else None
    try:
        if settings.private_key:
            return library.import_private_key(settings.private_key.reveal(), passphrase)
        return library.read_private_key(settings.key_file, passphrase)
    except OSError as error:
        raise ConfigError(f"{settings.where}: the key {settings.key_file} cannot be read: {error.strerror}.") from None
    except (library.KeyImportError, library.KeyEncryptionError, ValueError):
        raise ConfigError(
            f"{settings.where}: {settings.key_file or 'private_key'} is no private key that can be used, or its "
            f"passphrase is missing or wrong. Write passphrase: {{env: NAME}} if it has one."
        ) from None


def _known_hosts(settings: SSHSettings, library: Any) -> Any:
    """Return whom to believe, in asyncssh's form; ``None`` for everybody."""
    if settings.insecure_host_key:
        return None
    try:
        if settings.host_key:
            return [library.import_public_key(settings.host_key)], [], []
        if settings.known_hosts:
            return library.read_known_hosts(str(settings.known_hosts))
        return library.read_known_hosts([str(file) for file in _usual_files() if file.is_file()])
    except OSError as error:
        raise ConfigError(
            f"{settings.where}: the file of known hosts {settings.known_hosts} cannot be read: {error.strerror}."
        ) from None
    except (library.KeyImportError, ValueError):
        raise ConfigError(
            f"{settings.where}: {settings.known_hosts or 'host_key'} holds no keys of hosts as OpenSSH writes them."
        ) from None


def _usual_files() -> list[Path]:
    return [Path(name).expanduser() for name in _USUAL_HOSTS]


def _unknown_host(settings: SSHSettings) -> str:
    place = settings.known_hosts or _usual_files()[0]
    return (
        f"{settings.where}: the host key of {settings.address} is not among the known ones, or is another one than "
        f"before, so nobody can say who answers there. Compare its fingerprint with the one that its owner tells you "
        f"(ssh-keyscan -p {settings.port} {settings.host} | ssh-keygen -lf -), then add the line to {place}."
    )


def _offered(settings: SSHSettings) -> str:
    if settings.key_file or settings.private_key:
        return f"the key {settings.key_file or 'of the connection'}"
    return "the password" if settings.password else "a key of ~/.ssh or of the agent"


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
    return str(text).strip().rstrip(".") or "it did not answer in time"
