"""Flights as records: one holder, rising generations, damage is no obstacle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.datastores.memory import MemoryDatastore
from airflow_mlpipe.reuse.flights import Flights
from airflow_mlpipe.storage import RecordStorage

KEY = "ab" * 32


def holder(run_id: str) -> dict[str, str]:
    return {"pipeline": "p", "run_id": run_id, "step": "s"}


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> RecordStorage:
    return LocalDatastore("s", tmp_path) if request.param == "local" else MemoryDatastore("s")


def test_of_many_one_takes_the_flight(storage: RecordStorage) -> None:
    for _ in range(20):
        seen = Flights(storage).current(KEY)
        with ThreadPoolExecutor(16) as pool:
            after = [seen] * 16
            taken = list(pool.map(lambda item: Flights(storage).take(KEY, item, holder("r"), 1), after))
        winners = [flight for flight in taken if flight is not None]
        assert len(winners) == 1
        current = Flights(storage).current(KEY)
        assert current == winners[0]
        Flights(storage).land(winners[0])


def test_generations_rise_and_only_the_last_stays(storage: RecordStorage) -> None:
    flights = Flights(storage)
    first = flights.take(KEY, None, holder("a"), 1)
    assert first is not None
    flights.beat(first, 1)
    assert flights.beats(first) == b"1"
    second = flights.take(KEY, first, holder("b"), 4)
    assert second is not None
    assert (second.generation, second.ordinal) == (2, 4)
    assert list(storage.keys("mlpipe/flights/")) == [f"mlpipe/flights/{KEY}/00000002.json"]


def test_a_holder_that_wakes_up_late_disturbs_nobody(storage: RecordStorage) -> None:
    flights = Flights(storage)
    first = flights.take(KEY, None, holder("a"), 1)
    assert first is not None
    second = flights.take(KEY, first, holder("b"), 1)
    flights.beat(first, 7)
    flights.land(first)
    assert flights.current(KEY) == second
    assert second is not None
    assert flights.beats(second) == b""


def test_who_slept_through_other_flights_is_not_the_holder(storage: RecordStorage) -> None:
    flights = Flights(storage)
    seen = flights.take(KEY, None, holder("a"), 1)
    second = flights.take(KEY, seen, holder("b"), 1)
    third = flights.take(KEY, second, holder("c"), 1)
    assert flights.take(KEY, seen, holder("sleeper"), 1) is None
    assert flights.current(KEY) == third


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b'{"checksum":"blake3:00","record":{}}'])
def test_a_damaged_flight_counts_as_ended(damage: bytes, storage: RecordStorage) -> None:
    flights = Flights(storage)
    first = flights.take(KEY, None, holder("a"), 1)
    assert first is not None
    storage.replace(f"mlpipe/flights/{KEY}/00000001.json", damage)
    current = flights.current(KEY)
    assert current is not None
    assert current.landed
    taken = flights.take(KEY, current, holder("b"), 1)
    assert taken is not None
    assert taken.generation == 2
