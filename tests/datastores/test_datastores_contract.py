"""The contract suites over both datastores that we ship."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.datastores.memory import MemoryDatastore
from airflow_mlpipe.testing.datastore import DatastoreContract
from airflow_mlpipe.testing.record_storage import ProcessRaceContract


class TestLocalDatastore(DatastoreContract, ProcessRaceContract):
    def make(self, tmp_path: Path) -> LocalDatastore:
        return LocalDatastore("local", tmp_path / "new" / "root")

    def config(self) -> Mapping[str, Any]:
        return {"type": "local", "path": "race"}


class TestMemoryDatastore(DatastoreContract):
    def make(self, tmp_path: Path) -> MemoryDatastore:
        return MemoryDatastore("memory")
