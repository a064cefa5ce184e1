"""The contract of the registry over the datastores that we ship."""

from pathlib import Path

import pytest

from airflow_mlpipe.datastores.azure_blob.store import AzureBlobDatastore
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.datastores.memory import MemoryDatastore
from airflow_mlpipe.errors import StoreError
from airflow_mlpipe.registry.store import Registry
from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.testing.registry import RegistryContract, some_data


class TestRegistryOnLocalDisk(RegistryContract):
    def make(self, tmp_path: Path) -> LocalDatastore:
        return LocalDatastore("store", tmp_path / "root")


class TestRegistryInMemory(RegistryContract):
    def make(self, tmp_path: Path) -> MemoryDatastore:
        return MemoryDatastore("store")


class TestRegistryOnAzureBlob(RegistryContract):
    @pytest.fixture(autouse=True)
    def server(self, azurite: AzuriteServer) -> None:
        self.azurite = azurite

    def make(self, tmp_path: Path) -> AzureBlobDatastore:
        return self.azurite.datastore("store", memo=tmp_path / "memo.sqlite")


def test_what_json_cannot_hold_is_refused() -> None:
    registry = Registry(MemoryDatastore("store"))
    with pytest.raises(StoreError, match="cannot be written as JSON"):
        registry.register("model", "m", some_data(1), tags={"half": "\ud800"})
    assert registry.names("model") == []


def test_a_metric_that_diverged_is_kept_as_null() -> None:
    registry = Registry(MemoryDatastore("store"))
    registry.register("model", "m", some_data(1), metrics={"loss": float("nan"), "best": float("-inf"), "auc": 0.5})
    found = registry.get("model", "m")
    assert found
    assert found.metrics == {"loss": None, "best": None, "auc": 0.5}
