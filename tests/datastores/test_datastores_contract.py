"""The contract suites over the datastores that we ship."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.datastores.azure_blob.store import AzureBlobDatastore
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.datastores.memory import MemoryDatastore
from airflow_mlpipe.datastores.sftp.store import SFTPDatastore
from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.testing.datastore import DatastoreContract
from airflow_mlpipe.testing.record_storage import ProcessRaceContract, TreeRecordsContract
from airflow_mlpipe.testing.sshd import SSHServer


class TestLocalDatastore(DatastoreContract, TreeRecordsContract, ProcessRaceContract):
    def make(self, tmp_path: Path) -> LocalDatastore:
        return LocalDatastore("local", tmp_path / "new" / "root")

    def config(self) -> Mapping[str, Any]:
        return {"type": "local", "path": "race"}


class TestMemoryDatastore(DatastoreContract, TreeRecordsContract):
    def make(self, tmp_path: Path) -> MemoryDatastore:
        return MemoryDatastore("memory")


class TestAzureBlobDatastore(DatastoreContract, ProcessRaceContract):
    @pytest.fixture(autouse=True)
    def server(self, azurite: AzuriteServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.azurite = azurite
        monkeypatch.setenv("RACE_KEY", azurite.key)

    def make(self, tmp_path: Path) -> AzureBlobDatastore:
        return self.azurite.datastore("blob", prefix="some/prefix", memo=tmp_path / "memo.sqlite")

    def config(self) -> Mapping[str, Any]:
        return self.azurite.settings(self.azurite.make_container(), {"account_key": {"env": "RACE_KEY"}})


class TestSFTPDatastore(DatastoreContract, TreeRecordsContract, ProcessRaceContract):
    @pytest.fixture(autouse=True)
    def server(self, sshd: SSHServer, tmp_path: Path) -> None:
        self.settings = {"type": "sftp", **sshd.settings, "path": str(tmp_path / "far" / "root")}

    def make(self, tmp_path: Path) -> SFTPDatastore:
        return SFTPDatastore.from_config("sftp", self.settings, tmp_path)

    def config(self) -> Mapping[str, Any]:
        return self.settings
