"""The contract of the reuse store over both datastores that we ship."""

import os
from pathlib import Path

from airflow_mlpipe.datastores.base import Datastore
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.datastores.memory import MemoryDatastore
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


TestHistoriesOnLocalDisk = reuse_histories(lambda folder: LocalDatastore("store", folder / "root"), spoil_in_place)
TestHistoriesInMemory = reuse_histories(lambda _folder: MemoryDatastore("store"))
