"""Access for a job's own machine, as shared access signatures: to what it needs, for some hours, and never the key.

A blob that is read gets a signature of its own, and so does one whose name is known before it is written. For folders
there is one that may create new blobs in the container, and neither read, change, list nor remove any. Why is in
``docs/decisions/152-access-from-the-node.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_mlpipe.content.remote import RemoteData, RemoteFile
from airflow_mlpipe.datastores.azure_blob.container import Container
from airflow_mlpipe.datastores.azure_blob.credentials import open_account
from airflow_mlpipe.datastores.azure_blob.reader import Seen
from airflow_mlpipe.redaction import Secret

if TYPE_CHECKING:
    from azure.storage.blob import UserDelegationKey

_CLOCKS = timedelta(minutes=15)
"""How far the clocks of two machines may be apart."""
_LONGEST = timedelta(days=7)
"""Azure gives no delegation key for longer."""


class Grants:
    """Signs access to blobs of one container.

    :param container: the container.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self._delegation: tuple[datetime, UserDelegationKey] | None = None

    def read(self, seen: Seen, seconds: float) -> RemoteData | None:
        """Return the right to read what was seen; ``None`` if the credential cannot hand on any right."""
        signer = self._signer(seen.path, seconds)
        if signer is None:
            return None
        from azure.storage.blob import generate_blob_sas  # noqa: PLC0415 - slow

        files = []
        for path, blob in seen.files.items():
            query = generate_blob_sas(blob_name=blob.name, permission="r", **signer)
            files.append(RemoteFile(path, blob.size, f'"{blob.etag}"', self._url(blob.name), Secret(query)))
        return RemoteData(
            self._url(self._container.name_of(seen.path)), None, tuple(files), seen.empty, seen.kind == "file"
        )

    def create(self, path: str, seconds: float, *, is_file: bool = False) -> RemoteData | None:
        """Return the right to create blobs at a path; ``None`` if the credential cannot hand on any right.

        :param is_file: it is one blob, which may be read too, so that a lost reply can be told from somebody else's.
        """
        signer = self._signer(path, seconds)
        if signer is None:
            return None
        from azure.storage.blob import generate_blob_sas, generate_container_sas  # noqa: PLC0415 - slow

        name = self._container.name_of(path)
        if is_file:
            query = generate_blob_sas(blob_name=name, permission="rc", **signer)
        else:
            query = generate_container_sas(permission="c", **signer)
        return RemoteData(self._url(name), Secret(query), is_file=is_file)

    def _url(self, name: str) -> str:
        return f"{self._container.identity}/{quote(name, safe='/~')}"

    def _signer(self, path: str, seconds: float) -> Mapping[str, Any] | None:
        """Return what every signature of this container is made of."""
        from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential  # noqa: PLC0415 - slow

        expiry = datetime.now(timezone.utc) + min(timedelta(seconds=seconds) + _CLOCKS, _LONGEST - 2 * _CLOCKS)
        url, credential = open_account(self._container.settings)
        if isinstance(credential, AzureSasCredential):
            return None
        place = {
            "container_name": self._container.settings.container,
            "expiry": expiry,
            "protocol": "https" if url.startswith("https:") else "https,http",
        }
        if isinstance(credential, AzureNamedKeyCredential):
            account, key = credential.named_key
            return {**place, "account_name": account, "account_key": key}
        with self._container.errors("delegated", path):
            delegation = self._key(url, credential, expiry)
        return {**place, "account_name": self._container.client.account_name, "user_delegation_key": delegation}

    def _key(self, url: str, credential: Any, expiry: datetime) -> UserDelegationKey:
        """Return a key that the service gives to an identity for some days at most."""
        if self._delegation is None or self._delegation[0] < expiry:
            from azure.storage.blob import BlobServiceClient  # noqa: PLC0415 - slow

            begin = datetime.now(timezone.utc) - _CLOCKS
            until = begin + _LONGEST
            verify = self._container.settings.ca_bundle or True
            with BlobServiceClient(url, credential=credential, connection_verify=verify) as service:
                key = service.get_user_delegation_key(begin, until)
            self._delegation = (until, key)
        return self._delegation[1]
