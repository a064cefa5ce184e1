"""One container: its clients, and its errors in plain words."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_mlpipe.datastores.azure_blob.credentials import open_account, secrets_of
from airflow_mlpipe.datastores.azure_blob.names import to_blob_name
from airflow_mlpipe.datastores.azure_blob.settings import LOOPBACK, BlobSettings
from airflow_mlpipe.errors import ConfigError, MLPipeError, StoreError
from airflow_mlpipe.redaction import Redactor, quieten_libraries

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
    from azure.storage.blob import BlobClient, ContainerClient

CONNECTIONS = 32
BLOCK = 16 << 20
"""Bytes that one request moves."""

_PIECE = 1 << 20
"""Bytes that are taken from a connection at once; the transport's own 4 KiB cost more time than the network."""

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
        self._client: ContainerClient | None = None
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
        return self.client.url.partition("?")[0]

    @property
    def client(self) -> ContainerClient:
        """The SDK's client."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._open()
        return self._client

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

    def _open(self) -> ContainerClient:
        from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415 - slow, as all of Azure
        from azure.storage.blob import ContainerClient, ExponentialRetry  # noqa: PLC0415

        quieten_libraries()
        url, credential = open_account(self.settings)
        proxies, authorities = _surroundings(url)
        transport = RequestsTransport(
            connection_timeout=20,
            read_timeout=60,
            connection_verify=self.settings.ca_bundle or authorities or True,
            use_env_settings=False,
            connection_data_block_size=_PIECE,
        )
        transport.open()
        for adapter in transport.session.adapters.values():
            adapter.init_poolmanager(CONNECTIONS, CONNECTIONS)  # the usual ten would be closed and opened again
        try:
            return ContainerClient(
                url,
                self.settings.container,
                credential=credential,
                transport=transport,
                proxies=proxies,
                retry_policy=ExponentialRetry(
                    initial_backoff=1, increment_base=2, retry_total=self.settings.retries, random_jitter_range=1
                ),
                max_single_put_size=_LARGEST_PUT,
                max_single_get_size=BLOCK,
                max_chunk_get_size=BLOCK,
            )
        except ValueError as error:
            raise ConfigError(f"Datastore {self.settings.name!r}: {self._redactor.clean(str(error))}") from None


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
