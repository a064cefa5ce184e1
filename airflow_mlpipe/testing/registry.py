# ruff: noqa: D102 - the name of a test says what it asks
"""The contract of the registry on any record storage as tests.

class TestMyRegistry(RegistryContract):
    def make(self, tmp_path):
        return MyDatastore("mine", tmp_path / "root")
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_mlpipe.content import ContentSummary, DataRef
from airflow_mlpipe.errors import ConfigError, DataError
from airflow_mlpipe.registry.base import AssetVersion
from airflow_mlpipe.registry.store import Registry
from airflow_mlpipe.storage import RecordStorage

GOOD_NAMES = ("m", "flight-delays", "a.b", "a-b", "A_b.2-3", "_x", "7", "x" * 255, "latest")
BAD_NAMES = ("", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "ä", "a:1", "a%2Fb", "x" * 256, "{{ ds }}", "\0")


def some_data(number: int) -> DataRef:
    """Return data whose content is told by a number."""
    return DataRef(
        "store",
        f"mlpipe/attempts/{number}/model",
        "mlflow_model",
        ContentSummary(f"tree:{number:064x}", 1, number, "folder"),
    )


class RegistryContract:
    """Inherit and give :meth:`make`."""

    @abstractmethod
    def make(self, tmp_path: Path) -> RecordStorage:
        """Return a storage with nothing in it."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> RecordStorage:
        """The storage under test."""
        return self.make(tmp_path)

    @pytest.fixture
    def registry(self, storage: RecordStorage) -> Registry:
        """The registry under test."""
        return Registry(storage)

    def test_nothing_is_registered_at_first(self, registry: Registry) -> None:
        assert registry.get("model", "m") is None
        assert registry.get("model", "m", 1) is None
        assert registry.versions("model", "m") == []
        assert registry.names("model") == []

    def test_versions_count_from_one(self, registry: Registry) -> None:
        made = [registry.register("model", "m", some_data(number)) for number in range(12)]
        assert [version.version for version in made] == list(range(1, 13))
        assert registry.versions("model", "m") == made
        assert registry.get("model", "m") == registry.get("model", "m", "latest") == made[-1]
        assert registry.get("model", "m", 3) == made[2]
        assert registry.get("model", "m", 13) is None
        assert registry.get("model", "m", 0) is None
        assert registry.get("model", "m", -1) is None

    def test_everything_about_a_version_comes_back(self, registry: Registry) -> None:
        made = registry.register(
            "dataset",
            "d",
            some_data(7),
            tags={"month": "2013-03"},
            lineage={"pipeline": "p", "run_id": "manual__2013-03-01T00:00:00+00:00", "inputs": {"raw": "tree:1"}},
            metrics={"auc": 0.741, "rows": 12, "diverged": None},
        )
        found = registry.get("dataset", "d")
        assert found == made
        assert made.data == some_data(7)
        assert made.metrics == {"auc": 0.741, "rows": 12, "diverged": None}
        assert made.created.tzinfo is not None

    def test_the_latest_content_again_is_no_new_version(self, registry: Registry) -> None:
        first = registry.register("model", "m", some_data(1), tags={"a": "b"})
        assert registry.register("model", "m", some_data(1), tags={"c": "d"}) == first
        second = registry.register("model", "m", some_data(2))
        third = registry.register("model", "m", some_data(1))
        assert [second.version, third.version] == [2, 3]

    def test_kinds_and_names_are_apart(self, registry: Registry) -> None:
        for name in GOOD_NAMES:
            assert registry.register("model", name, some_data(1)).version == 1
        assert registry.register("dataset", "m", some_data(1)).version == 1
        assert registry.names("model") == sorted(GOOD_NAMES)
        assert registry.names("dataset") == ["m"]

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_bad_names_are_refused(self, registry: Registry, name: str) -> None:
        with pytest.raises(ConfigError, match="not allowed"):
            registry.register("model", name, some_data(1))
        with pytest.raises(ConfigError, match="not allowed"):
            registry.get("model", name)
        with pytest.raises(ConfigError, match="not allowed"):
            registry.versions("model", name)

    def test_numbers_stay_in_order_beyond_the_padding(self, registry: Registry, storage: RecordStorage) -> None:
        registry.register("model", "m", some_data(1))
        storage.replace("mlpipe/models/m/99999999.json", b"damaged")
        assert registry.register("model", "m", some_data(2)).version == 100_000_000
        latest = registry.get("model", "m")
        assert latest
        assert latest.version == 100_000_000

    @pytest.mark.parametrize("damaged", [b"", b"{", b"null", b"\xff\0", b'{"checksum":"blake3:0","record":{}}'])
    def test_a_damaged_version_keeps_its_number(
        self, registry: Registry, storage: RecordStorage, damaged: bytes
    ) -> None:
        first = registry.register("model", "m", some_data(1))
        registry.register("model", "m", some_data(2))
        storage.replace("mlpipe/models/m/00000002.json", damaged)
        for version in ("latest", 2):
            with pytest.raises(DataError, match="Version 2 of the model 'm' is damaged"):
                registry.get("model", "m", version)
        assert registry.get("model", "m", 1) == first
        assert registry.versions("model", "m") == [first]
        assert registry.register("model", "m", some_data(2)).version == 3

    def test_a_version_at_a_wrong_place_is_damaged(self, registry: Registry, storage: RecordStorage) -> None:
        registry.register("model", "m", some_data(1))
        storage.replace("mlpipe/models/n/00000001.json", storage.read("mlpipe/models/m/00000001.json") or b"")
        with pytest.raises(DataError, match="it says model m:1"):
            registry.get("model", "n")

    def test_files_that_are_no_versions_are_passed_over(self, registry: Registry, storage: RecordStorage) -> None:
        first = registry.register("model", "m", some_data(1))
        for stranger in ("README", "2.json", "00000002.json.bak", "x/00000003.json"):
            storage.replace(f"mlpipe/models/m/{stranger}", b"?")
        assert registry.versions("model", "m") == [first]
        assert registry.names("model") == ["m"]
        assert registry.register("model", "m", some_data(2)).version == 2

    def test_racing_registrations_get_a_number_each(self, registry: Registry) -> None:
        racers = 12
        gate = threading.Barrier(racers)

        def register(number: int) -> AssetVersion:
            gate.wait()
            return registry.register("model", "m", some_data(number))

        with ThreadPoolExecutor(racers) as pool:
            made = list(pool.map(register, range(racers)))
        assert sorted(version.version for version in made) == list(range(1, racers + 1))
        assert sorted(registry.versions("model", "m"), key=lambda version: version.data.content.size) == made

    def test_racing_registrations_of_one_content_share_a_number(self, registry: Registry) -> None:
        racers = 12
        gate = threading.Barrier(racers)

        def register(_number: int) -> AssetVersion:
            gate.wait()
            return registry.register("model", "m", some_data(1))

        with ThreadPoolExecutor(racers) as pool:
            made = list(pool.map(register, range(racers)))
        assert {version.version for version in made} == {1}
        assert len({version.nonce for version in made}) == 1
