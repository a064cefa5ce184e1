"""The contract of the reuse store over the datastores that we ship."""

import os
import unittest
from pathlib import Path

import pytest

from airflow_mlpipe.datastores.azure_blob.store import AzureBlobDatastore
from airflow_mlpipe.datastores.base import Datastore
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.datastores.memory import MemoryDatastore
from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.testing.reuse_histories import reuse_histories
from airflow_mlpipe.testing.reuse_store import ReuseStoreContract


def spoil_in_place(datastore: Datastore, key: str, data: bytes) -> None:
    """Write into the very file and set its time back, as rsync and tar do."""
    place = datastore.local_path(key)
    assert place
    before = place.stat()
    place.write_bytes(data)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


class TestReuseOnLocalDisk(ReuseStoreContract):
    def make(self, tmp_path: Path) -> LocalDatastore:
        return LocalDatastore("store", tmp_path / "root")

    def spoil(self, datastore: Datastore, key: str, data: bytes) -> None:
        spoil_in_place(datastore, key, data)


class TestReuseInMemory(ReuseStoreContract):
    def make(self, tmp_path: Path) -> MemoryDatastore:
        return MemoryDatastore("store")


class TestReuseOnAzureBlob(ReuseStoreContract):
    @pytest.fixture(autouse=True)
    def server(self, azurite: AzuriteServer) -> None:
        self.azurite = azurite

    def make(self, tmp_path: Path) -> Datastore:
        return self.azurite.datastore("store", memo=tmp_path / "memo.sqlite")

    def spoil(self, datastore: Datastore, key: str, data: bytes) -> None:
        write_with_the_old_metadata(datastore, key, data)


def write_with_the_old_metadata(datastore: Datastore, key: str, data: bytes) -> None:
    """Write other bytes, and put back all that a tool can put back: metadata, checksum and type."""
    assert isinstance(datastore, AzureBlobDatastore)
    blob = datastore._container.blob(key)
    before = blob.get_blob_properties()
    blob.upload_blob(data, overwrite=True, metadata=dict(before.metadata or {}))
    blob.set_http_headers(before.content_settings)


def test_histories_on_azure_blob(azurite: AzuriteServer) -> None:
    case = reuse_histories(
        lambda folder: azurite.datastore("store", memo=folder / "memo.sqlite"),
        write_with_the_old_metadata,
        examples=4,
        steps=15,
    )
    result = unittest.TestResult()
    case("runTest").run(result)
    assert result.testsRun == 1
    assert result.wasSuccessful(), [text for _, text in (*result.errors, *result.failures)]


TestHistoriesOnLocalDisk = reuse_histories(lambda folder: LocalDatastore("store", folder / "root"), spoil_in_place)
TestHistoriesInMemory = reuse_histories(lambda _folder: MemoryDatastore("store"))
