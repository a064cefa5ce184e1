"""Azure's own SDK as a peer, with the settings that were fastest on Azurite."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas

from airflow_mlpipe.testing.azurite import AzuriteServer

_BLOCK = 32 << 20
_AT_ONCE = 4
_THREADS = 32
_HOURS = 12
SETTINGS = f"azure-storage-blob: blocks of {_BLOCK >> 20} MiB, {_AT_ONCE} at once; small files in {_THREADS} threads"


@dataclass(frozen=True)
class Place:
    """A container on an Azurite.

    :param container: its name.
    """

    server: AzuriteServer
    container: str

    @classmethod
    def fresh(cls, server: AzuriteServer) -> Place:
        """Make an empty container."""
        return cls(server, server.make_container())

    def sas_url(self) -> str:
        """Return the address of the container with a token that allows everything in it for some hours."""
        allowed = ContainerSasPermissions(read=True, add=True, create=True, write=True, delete=True, list=True)
        until = datetime.now(timezone.utc) + timedelta(hours=_HOURS)
        token = generate_container_sas(
            self.server.account, self.container, account_key=self.server.key, permission=allowed, expiry=until
        )
        return f"{self.server.account_url}/{self.container}?{token}"

    def client(self) -> ContainerClient:
        """Return the SDK's client, tuned."""
        transport = RequestsTransport(use_env_settings=False, connection_data_block_size=256 << 10)
        transport.open()
        for adapter in transport.session.adapters.values():
            adapter.init_poolmanager(_THREADS, _THREADS)
        return ContainerClient(
            self.server.account_url,
            self.container,
            credential=AzureNamedKeyCredential(self.server.account, self.server.key),
            transport=transport,
            max_block_size=_BLOCK,
            max_single_put_size=_BLOCK,
            max_single_get_size=_BLOCK,
            max_chunk_get_size=_BLOCK,
        )

    def sizes(self) -> dict[str, int]:
        """Return name to size of all that is there, to look whether it is what should be there."""
        return {blob.name: blob.size for blob in self.client().list_blobs()}

    def drop(self) -> None:
        """Delete the container with all that is in it."""
        self.client().delete_container()


def upload(client: ContainerClient, source: Path) -> None:
    """Copy a folder into a container."""

    def send(path: Path) -> None:
        with path.open("rb") as file:
            client.upload_blob(
                f"{source.name}/{path.relative_to(source).as_posix()}",
                file,
                length=path.stat().st_size,
                max_concurrency=_AT_ONCE,
            )

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(send, [path for path in source.rglob("*") if path.is_file()]):
            pass


def download(client: ContainerClient, name: str, to: Path) -> None:
    """Copy a folder out of a container."""

    def fetch(blob: str) -> None:
        place = to / blob.removeprefix(f"{name}/")
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            client.download_blob(blob, max_concurrency=_AT_ONCE).readinto(file)

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(fetch, client.list_blob_names(name_starts_with=f"{name}/")):
            pass
