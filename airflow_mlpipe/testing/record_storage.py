# ruff: noqa: D102 - the name of a test says what it asks
"""The contract of a record storage as tests, for whoever writes one.

    class TestMyRecords(RecordStorageContract):
        def make(self, tmp_path):
            return MyDatastore("mine", tmp_path / "root")

Needs the extra ``airflow-mlpipe[test]``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from abc import abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.errors import StoreError
from airflow_mlpipe.storage import RecordStorage, replace_all

ODD_NAMES = (
    "a%2Fb",
    "%",
    "#frag",
    "q?x=1&y=2",
    "line\nbreak",
    "tab\tname",
    "~",
    "~root",
    "-rf",
    "$(touch x)",
    "{{ ds }}",
    "trailing.",
    "trailing ",
    " leading",
    ".hidden",
    "...",
    "NUL",
    "quote'\"`",
    "a\\b",
    "*",
    "\x01\x7f",
    "ä-NFC-\u00e4",
    "a-NFD-a\u0308",
    "日本語",
    "🙂",
    "\u202eright-to-left",
    "Case",
    "case",
    "n" * 255,
)
"""Names that every storage keeps exactly."""

BAD_KEYS = (
    "",
    "/",
    "/etc/passwd",
    "a//b",
    "a/",
    ".",
    "..",
    "a/./b",
    "a/../b",
    "../a",
    "a/..",
    "nul\0byte",
    "half\ud800surrogate",
    "n" * 256,
    "ä" * 128,
    "/".join(["segment"] * 200),
    ".mlpipe/tmp/x",
    ".mlpipe",
)
"""Keys that every storage refuses."""

_RACER = """
import sys, pathlib, json
from airflow_mlpipe.plugin_loading import DATASTORES, load_plugin
config, folder, racer = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
store = load_plugin(DATASTORES, config["type"]).from_config("race", config, folder)
print("ready", flush=True)
for line in sys.stdin:
    print(int(store.create("race/" + line.strip(), racer.encode() * 5000)), flush=True)
"""


class RecordStorageContract:
    """Inherit and give :meth:`make`."""

    @abstractmethod
    def make(self, tmp_path: Path) -> RecordStorage:
        """Return a storage with nothing in it."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> RecordStorage:
        """The storage under test."""
        return self.make(tmp_path)

    def test_a_fresh_storage_is_empty(self, storage: RecordStorage) -> None:
        assert storage.read("a/b.json") is None
        assert list(storage.keys("")) == []
        assert list(storage.keys("a/")) == []
        assert storage.delete("a/b.json") is False

    @pytest.mark.parametrize("data", [b"", b"\0", b"one", bytes(range(256)) * 20_000])
    def test_bytes_come_back(self, storage: RecordStorage, data: bytes) -> None:
        storage.replace("deep/er/x", data)
        assert storage.read("deep/er/x") == data
        assert storage.create("y", data)
        assert storage.read("y") == data

    def test_create_never_overwrites(self, storage: RecordStorage) -> None:
        assert storage.create("k", b"first")
        assert not storage.create("k", b"second")
        assert storage.read("k") == b"first"

    def test_create_with_the_same_bytes_is_a_success(self, storage: RecordStorage) -> None:
        assert storage.create("k", b"same")
        assert storage.create("k", b"same")

    def test_create_after_delete(self, storage: RecordStorage) -> None:
        storage.create("k", b"first")
        assert storage.delete("k") is True
        assert storage.delete("k") is False
        assert storage.create("k", b"second")
        assert storage.read("k") == b"second"

    def test_replace_overwrites(self, storage: RecordStorage) -> None:
        storage.replace("k", b"a longer first value")
        storage.replace("k", b"2")
        assert storage.read("k") == b"2"
        assert list(storage.keys("")) == ["k"]

    def test_many_are_stored_as_one_by_one(self, storage: RecordStorage) -> None:
        storage.replace("b/1", b"old")
        records = {"b/1": b"new", "b/2": b"", "b/c/3": b"three", "top": b"4"}
        replace_all(storage, records)
        replace_all(storage, {})
        assert {key: storage.read(key) for key in storage.keys("")} == records

    def test_keys_are_sorted_and_within_the_folder(self, storage: RecordStorage) -> None:
        keys = ["a", "b/c", "b-d", "b/c-d/e", "b/a/z", "ba/x", "b/é", "b/Z"]
        for key in keys:
            storage.replace(key, b"")
        assert list(storage.keys("")) == sorted(keys)
        assert list(storage.keys("b/")) == sorted(key for key in keys if key.startswith("b/"))
        assert list(storage.keys("nothing/here/")) == []

    def test_keys_wants_a_folder(self, storage: RecordStorage) -> None:
        with pytest.raises(StoreError, match="must be empty or"):
            list(storage.keys("b"))
        with pytest.raises(StoreError, match="not allowed"):
            list(storage.keys("../"))

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names_are_kept_exactly(self, storage: RecordStorage, name: str) -> None:
        key = f"{name}/{name}"
        assert storage.create(key, b"x")
        assert list(storage.keys(f"{name}/")) == [key]
        assert storage.read(key) == b"x"
        assert storage.delete(key)

    def test_odd_names_are_kept_apart(self, storage: RecordStorage) -> None:
        for number, name in enumerate(ODD_NAMES):
            assert storage.create(name, str(number).encode())
        assert list(storage.keys("")) == sorted(ODD_NAMES)

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_bad_keys_are_refused_by_every_verb(self, storage: RecordStorage, key: str) -> None:
        for verb in (storage.read, storage.delete):
            with pytest.raises(StoreError, match="not allowed"):
                verb(key)
        for write in (storage.create, storage.replace):
            with pytest.raises(StoreError, match="not allowed"):
                write(key, b"x")
        assert list(storage.keys("")) == []

    def test_a_folder_is_not_a_record(self, storage: RecordStorage) -> None:
        storage.replace("a/b", b"x")
        assert storage.read("a") is None
        assert storage.delete("a") is False
        assert storage.read("a/b") == b"x"

    def test_a_record_is_not_a_folder(self, storage: RecordStorage) -> None:
        storage.replace("a", b"x")
        assert storage.read("a/b") is None
        assert storage.delete("a/b") is False
        assert list(storage.keys("a/")) == []
        assert storage.read("a") == b"x"

    def test_sixteen_racing_creates_have_one_winner_two_hundred_times(self, storage: RecordStorage) -> None:
        racers, rounds = 16, 200
        gate = threading.Barrier(racers)

        def race(racer: int) -> list[bool]:
            won = []
            for turn in range(rounds):
                gate.wait()
                won.append(storage.create(f"race/{turn}", f"{racer} ".encode() * 5000))
            return won

        with ThreadPoolExecutor(racers) as pool:
            results = list(pool.map(race, range(racers)))
        for turn in range(rounds):
            winners = [racer for racer in range(racers) if results[racer][turn]]
            assert len(winners) == 1
            assert storage.read(f"race/{turn}") == f"{winners[0]} ".encode() * 5000
        assert len(list(storage.keys(""))) == rounds

    def test_readers_never_see_a_mix(self, storage: RecordStorage) -> None:
        values = [bytes([number]) * 200_000 for number in range(4)]
        storage.replace("k", values[0])
        enough = threading.Event()

        def write() -> int:
            turns = 0
            while not enough.is_set():
                turns += 1
                storage.replace("k", values[turns % 4])
            return turns

        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(write)
            try:
                seen = {storage.read("k") for _ in range(300)}
            finally:
                enough.set()
        assert writer.result() > 0
        assert seen <= set(values)


class TreeRecordsContract:
    """For storages that are a tree like a disk, where a name is a record or a folder and never both."""

    def test_a_record_cannot_take_the_place_of_a_folder(self, storage: RecordStorage) -> None:
        storage.replace("a/b", b"x")
        for write in (storage.create, storage.replace):
            with pytest.raises(StoreError, match="folder"):
                write("a", b"y")
        assert storage.read("a/b") == b"x"

    def test_a_folder_cannot_take_the_place_of_a_record(self, storage: RecordStorage) -> None:
        storage.replace("a", b"x")
        for write in (storage.create, storage.replace):
            with pytest.raises(StoreError, match="file is where a folder"):
                write("a/b", b"y")
        assert storage.read("a") == b"x"


class ProcessRaceContract:
    """For storages that several processes share: inherit and give :meth:`config`."""

    @abstractmethod
    def config(self) -> Mapping[str, Any]:
        """Return what ``workspace.yml`` would say, relative to the folder of the test."""

    def test_racing_processes_have_one_winner(self, tmp_path: Path) -> None:
        assert race_processes(self.config(), tmp_path, racers=16, rounds=30) == [1] * 30


def race_processes(config: Mapping[str, Any], folder: Path, racers: int, rounds: int) -> list[int]:
    """Let processes create the same records at once; return how many won in each round.

    :param config: what ``workspace.yml`` would say of the storage, relative to the folder.
    :raises RuntimeError: if one of them fails.
    """
    command = [sys.executable, "-c", _RACER, json.dumps(dict(config)), str(folder)]
    started = [
        subprocess.Popen(  # noqa: S603 - our own program
            [*command, f"{racer} "], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for racer in range(racers)
    ]
    winners = []
    try:
        ready = [_answer(process) for process in started]
        for turn in range(rounds if ready == ["ready"] * racers else 0):
            for process in started:
                assert process.stdin
                process.stdin.write(f"{turn}\n")
            winners.append(sum(int(_answer(process)) for process in started))
    finally:
        for process in started:
            process.communicate()
    if any(process.returncode for process in started):
        raise RuntimeError(f"A racer ended with {[process.returncode for process in started]}.")
    return winners


def _answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()
