"""One container: its clients, and its errors in plain words."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from airflow_mlpipe.datastores.azure_blob.credentials import open_account, secrets_of
from airflow_mlpipe.datastores.azure_blob.names import to_blob_name
from airflow_mlpipe.datastores.azure_blob.settings import LOOPBACK, BlobSettings
from airflow_mlpipe.errors import ConfigError, MLPipeError, StoreError
from airflow_mlpipe.redaction import Redactor, quieten_libraries

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
    from azure.core.pipeline import Pipeline
    from azure.core.rest import HttpRequest, HttpResponse
    from azure.storage.blob import BlobClient, ContainerClient, ExponentialRetry
    from urllib3 import HTTPConnectionPool

CONNECTIONS = 32
BLOCK = 16 << 20
"""Bytes that one request moves."""

PIECE = 256 << 10
"""Bytes that are taken from a connection at once: with the SDK's own 4 KiB the calls cost more than the network, with
1 MiB each piece is memory that the kernel has to clear first."""

_CONNECT, _READ = 20, 60
"""Seconds until there must be a connection, and until the service must have said something."""

_LARGEST_PUT = 64 << 20
_ROLES = "Grant the identity the role 'Storage Blob Data Contributor' on the container"
_REFUSALS = {
    "AuthenticationFailed": "Azure does not accept the credential: the key is wrong, or the SAS token or the token has "
    "expired. Check the credential, and this machine's clock",
    "InvalidAuthenticationInfo": "Azure does not accept the credential. Check it, and which tenant it belongs to",
    "NoAuthenticationInformation": "Azure wants a credential. Check 'credential'",
    "AuthorizationFailure": "Azure refuses the credential or this machine: the key is wrong, the SAS token has expired "
    "or allows too little, or the account's network rules keep this machine out",
    "AuthorizationPermissionMismatch": f"the credential may not do this. {_ROLES}, or use a SAS token that may read, "
    "add, create, write, delete and list",
    "InsufficientAccountPermissions": f"the credential may not do this. {_ROLES}",
    "AuthorizationProtocolMismatch": "the SAS token allows https only. Use an https address",
    "KeyBasedAuthenticationNotPermitted": "the account does not allow keys. Use an identity, credential: default",
    "AccountIsDisabled": "the storage account is disabled",
    "ContainerNotFound": "the container does not exist. Create it, or correct 'container'",
    "InvalidResourceName": "the container's name is not allowed. Correct 'container'",
}


class Container:
    """Opens one container at the first request. Safe to use from many threads.

    :param settings: where it is, and who we are.
    """

    def __init__(self, settings: BlobSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._redactor = Redactor(secrets_of(settings))

    def __repr__(self) -> str:
        return f"Container({self.shown})"

    @property
    def shown(self) -> str:
        """What people call it; holds no secret."""
        return f"container {self.settings.container!r} of datastore {self.settings.name!r}"

    @property
    def identity(self) -> str:
        """Address of the container, the same for every credential."""
        return self._open().url

    @property
    def client(self) -> ContainerClient:
        """The SDK's client."""
        return self._open().client

    @property
    def pipeline(self) -> Pipeline[HttpRequest, HttpResponse]:
        """The short way to the service, for requests that have what :attr:`headers` says."""
        return self._open().pipeline

    @property
    def headers(self) -> Mapping[str, str]:
        """What every request through the pipeline says."""
        return self._open().headers

    def name_of(self, path: str) -> str:
        """Return the name of the blob at a path of the datastore; for ``""`` the prefix of all."""
        return "/".join(
            part for part in (self.settings.prefix and to_blob_name(self.settings.prefix), to_blob_name(path)) if part
        )

    def blob(self, path: str) -> BlobClient:
        """Return the SDK's client of the blob at a path."""
        return self.client.get_blob_client(self.name_of(path))

    @contextmanager
    def errors(self, action: str, path: str) -> Iterator[None]:
        """Turn what goes wrong in the block into an error in plain words, without secrets.

        :param action: as a participle, ``read``.
        """
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - slow

        try:
            yield
        except AzureError as error:
            raise self._explained(error, f"{path or 'The root'!r} in {self.shown} cannot be {action}") from None
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise
            reason = self._redactor.clean(str(error))
            raise StoreError(f"{path!r} in {self.shown} cannot be {action}: {reason}.") from None

    def _explained(self, error: AzureError, what: str) -> MLPipeError:
        from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError  # noqa: PLC0415 - slow

        code = error_code(error)
        if code in _REFUSALS:
            return ConfigError(f"{what}: {_REFUSALS[code]} ({code}).")
        reason = self._redactor.clean(
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        )
        if isinstance(error, ClientAuthenticationError):
            return ConfigError(f"{what}: no credential works. {reason}")
        if isinstance(error, ServiceRequestError):
            host = self.identity.split("/")[2]
            return StoreError(f"{what}: {host} cannot be reached. Check the account's name and the network. ({reason})")
        status = getattr(error, "status_code", None)
        said = ", ".join(str(part) for part in (code, status and f"HTTP {status}") if part)
        return StoreError(f"{what}: {reason}{f' ({said})' if said and said not in reason else ''}")

    def _open(self) -> _Opened:
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    try:
                        self._opened = _open(self.settings)
                    except ValueError as error:
                        reason = self._redactor.clean(str(error))
                        raise ConfigError(f"Datastore {self.settings.name!r}: {reason}") from None
        return self._opened


class _Opened(NamedTuple):
    url: str
    client: ContainerClient
    pipeline: Pipeline[HttpRequest, HttpResponse]
    headers: Mapping[str, str]


def _open(settings: BlobSettings) -> _Opened:
    """Make the SDK's client, and the short way over the same connections."""
    from azure.core.pipeline.policies import UserAgentPolicy  # noqa: PLC0415 - slow, as all of Azure
    from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415
    from azure.storage.blob import ContainerClient  # noqa: PLC0415

    from airflow_mlpipe.datastores.azure_blob.transport import Connections  # noqa: PLC0415 - imports Azure

    quieten_libraries()
    account, credential = open_account(settings)
    proxies, authorities = _surroundings(account)
    verify = settings.ca_bundle or authorities or True
    connections = Connections(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS)
    transport = RequestsTransport(
        connection_timeout=_CONNECT,
        read_timeout=_READ,
        connection_verify=verify,
        use_env_settings=False,
        connection_data_block_size=PIECE,
    )
    transport.open()
    for scheme in ("https://", "http://"):
        transport.session.mount(scheme, connections)
    client = ContainerClient(
        account,
        settings.container,
        credential=credential,
        transport=transport,
        proxies=proxies,
        retry_policy=_retries(settings),
        max_single_put_size=_LARGEST_PUT,
        max_single_get_size=BLOCK,
        max_chunk_get_size=BLOCK,
    )
    headers = {
        "x-ms-version": client.api_version,
        "Accept": "application/xml",
        "User-Agent": UserAgentPolicy("airflow-mlpipe").user_agent,
    }
    url = client.url.partition("?")[0]
    return _Opened(url, client, _short_way(client, connections.pool(url, verify, proxies), settings), headers)


def _short_way(
    client: ContainerClient, pool: HTTPConnectionPool, settings: BlobSettings
) -> Pipeline[HttpRequest, HttpResponse]:
    """Return a pipeline with what a request cannot do without: retries, the time, the credential."""
    from azure.core.pipeline import Pipeline  # noqa: PLC0415 - slow

    from airflow_mlpipe.datastores.azure_blob.transport import Dated, PooledTransport  # noqa: PLC0415 - imports Azure

    signing = copy(client._credential_policy)  # noqa: SLF001 - no public way; a copy, as a policy is in one pipeline
    return Pipeline(PooledTransport(pool, _CONNECT, _READ), [_retries(settings), Dated(), signing])


def _retries(settings: BlobSettings) -> ExponentialRetry:
    from azure.storage.blob import ExponentialRetry  # noqa: PLC0415 - slow

    return ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=settings.retries, random_jitter_range=1)


def _surroundings(url: str) -> tuple[dict[str, str], str | None]:
    """Return the proxies for an address and the file of authorities, as the environment says them.

    Looked up once: the library under the SDK would go through the whole environment for each request, which takes a
    tenth of the time of a small one.
    """
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - brings the whole of http

    host = urlsplit(url).hostname or ""
    proxies = {} if host in LOOPBACK or proxy_bypass(host) else getproxies()
    return proxies, os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")


def error_code(error: BaseException) -> str:
    """Return Azure's word for an error, empty if it has none."""
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or {}
    return str(headers.get("x-ms-error-code") or "")
