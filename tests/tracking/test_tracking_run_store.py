"""Records of runs, steps and jobs over the datastores that we ship."""

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.content import ContentSummary, DataRef
from airflow_mlpipe.datastores.base import Datastore
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.datastores.memory import MemoryDatastore
from airflow_mlpipe.errors import StoreError
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.storage import seal, unseal
from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.tracking.base import JobRecord, RunRecord, StepRecord
from airflow_mlpipe.tracking.run_store import RunStore

START = datetime(2013, 3, 1, tzinfo=timezone.utc)
RUN_ID = "scheduled__2013-03-01T00:00:00+00:00"
ODD_IDS = ["..", "a/b", "a b", "naïve", "a.b", "a%2Fb", "{{ ds }}", "~", "line\nbreak", "7", "runs"]


@pytest.fixture(params=["local", "memory", "azurite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Datastore:
    if request.param == "azurite":
        server: AzuriteServer = request.getfixturevalue("azurite")
        return server.datastore("store", memo=tmp_path / "memo.sqlite")
    return LocalDatastore("store", tmp_path / "root") if request.param == "local" else MemoryDatastore("store")


@pytest.fixture
def store(storage: Datastore) -> RunStore:
    return RunStore(storage)


def run(pipeline: str = "p", run_id: str = RUN_ID, day: int = 0) -> RunRecord:
    return RunRecord(
        pipeline=pipeline, run_id=run_id, parameters={"lr": 0.1, "n": None}, started=START + timedelta(day)
    )


def step(name: str = "train", minute: int = 0, **more: object) -> StepRecord:
    moment = START + timedelta(minutes=minute)
    known = {"pipeline": "p", "run_id": RUN_ID, "step": name, "decision": "ran", "started": START, "ended": moment}
    return checked(StepRecord, {**known, **more})


def job(ordinal: int = 0, **more: object) -> JobRecord:
    known = {"ordinal": ordinal, "epoch": 0, "key": f"mlp-{ordinal}", "attempt": "mlpipe/attempts/x", "target": "local"}
    return checked(JobRecord, {**known, "started": START, **more})


def test_nothing_is_there_at_first(store: RunStore) -> None:
    assert store.read_run("p", RUN_ID) is None
    assert store.read_step("p", RUN_ID, "train") is None
    assert store.runs("p") == []
    assert store.pipelines() == []
    assert store.steps("p", RUN_ID) == []
    assert store.jobs("p", RUN_ID, "train") == []


def test_records_come_back_whole(store: RunStore) -> None:
    data = DataRef("store", "mlpipe/attempts/x/model", "mlflow_model", ContentSummary("tree:1", 2, 3, "folder"))
    full = step(
        reason="input lr: 0.1 -> 0.2",
        epoch=2,
        key="ab",
        origin={"pipeline": "p", "run_id": "earlier"},
        outputs={"model": data},
        metrics=[{"name": "auc", "value": 0.7, "step": 1}],
        registered={"model": "flights:7"},
        seconds=1.5,
        saved=48.25,
    )
    store.write_run(run())
    store.write_step(full)
    store.write_job("p", RUN_ID, "train", job(3, handle={"target": "local", "key": "k", "external_id": "7:1"}))
    assert store.read_run("p", RUN_ID) == run()
    assert store.read_step("p", RUN_ID, "train") == full
    assert store.jobs("p", RUN_ID, "train") == [job(3, handle={"target": "local", "key": "k", "external_id": "7:1"})]


def test_lists_are_in_order_of_time(store: RunStore) -> None:
    for run_id, day in (("b", 2), ("c", 0), ("a", 1)):
        store.write_run(run(run_id=run_id, day=day))
    assert [record.run_id for record in store.runs("p")] == ["c", "a", "b"]
    for name, minute in (("train", 2), ("prepare", 1), ("score", 3)):
        store.write_step(step(name, minute))
    assert [record.step for record in store.steps("p", RUN_ID)] == ["prepare", "train", "score"]
    store.write_steps([step("train", 5), step("report", 4)])
    assert [record.step for record in store.steps("p", RUN_ID)] == ["prepare", "score", "report", "train"]
    for ordinal in (10, 2, 0):
        store.write_job("p", RUN_ID, "train", job(ordinal))
    assert [record.ordinal for record in store.jobs("p", RUN_ID, "train")] == [0, 2, 10]


@pytest.mark.parametrize("name", ODD_IDS)
def test_any_id_is_kept_apart(store: RunStore, name: str) -> None:
    for other in ODD_IDS:
        store.write_run(run(other, other))
        store.write_step(step(other, pipeline=other, run_id=other))
        assert store.create_job(other, other, other, job())
    assert store.pipelines() == sorted(ODD_IDS)
    assert [record.run_id for record in store.runs(name)] == [name]
    assert [record.step for record in store.steps(name, name)] == [name]
    assert store.jobs(name, name, name) == [job()]
    assert store.jobs(name, name, "other") == []


def test_too_long_an_id_is_refused_in_plain_words(store: RunStore) -> None:
    with pytest.raises(StoreError, match="Use a shorter one"):
        store.write_run(run("p" * 201))


def test_a_later_record_takes_the_place(store: RunStore) -> None:
    store.write_step(step(decision="failed"))
    store.write_step(step(decision="ran"))
    assert [record.decision for record in store.steps("p", RUN_ID)] == ["ran"]


def test_an_intent_is_taken_once(store: RunStore) -> None:
    assert store.create_job("p", RUN_ID, "train", job(key="ours"))
    assert store.create_job("p", RUN_ID, "train", job(key="ours"))
    assert not store.create_job("p", RUN_ID, "train", job(key="theirs"))
    assert [record.key for record in store.jobs("p", RUN_ID, "train")] == ["ours"]


def test_racing_intents_have_one_winner(store: RunStore) -> None:
    gate = threading.Barrier(8)

    def race(number: int) -> bool:
        gate.wait()
        return store.create_job("p", RUN_ID, "train", job(key=f"racer-{number}"))

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(race, range(8)))
    assert won.count(True) == 1
    assert [record.key for record in store.jobs("p", RUN_ID, "train")] == [f"racer-{won.index(True)}"]


@pytest.mark.parametrize("damaged", [b"", b"{", b"null", b"[1]", b"\xff", seal(b"{}"), seal(b"not json")])
def test_damage_is_read_as_absent_but_never_for_jobs(
    store: RunStore, storage: Datastore, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store.write_run(run())
    store.write_run(run(run_id="good"))
    store.write_step(step())
    store.write_step(step("score"))
    store.write_job("p", RUN_ID, "train", job())
    for key in list(storage.keys("mlpipe/")):
        if "good" not in key and "score" not in key:
            storage.replace(key, damaged)
    with caplog.at_level(logging.WARNING):
        assert store.read_run("p", RUN_ID) is None
    assert "is damaged" in caplog.text
    assert [record.run_id for record in store.runs("p")] == ["good"]
    assert store.read_step("p", RUN_ID, "train") is None
    assert [record.step for record in store.steps("p", RUN_ID)] == ["score"]
    with pytest.raises(StoreError, match="look on the compute target"):
        store.jobs("p", RUN_ID, "train")


def test_records_of_later_versions_are_read(store: RunStore, storage: Datastore) -> None:
    store.write_run(run())
    (key,) = storage.keys("mlpipe/runs/")
    document = json.loads(unseal(storage.read(key) or b""))
    storage.replace(key, seal(json.dumps({**document, "new_in_2": [1]}).encode()))
    assert store.read_run("p", RUN_ID) == run()


def test_numbers_are_finite(store: RunStore) -> None:
    store.write_step(step(metrics=[{"name": "loss", "value": float("nan"), "step": None}]))
    (kept,) = store.steps("p", RUN_ID)
    assert kept.metrics == [{"name": "loss", "value": None, "step": None}]
    with pytest.raises(StoreError, match="finite"):
        store.write_step(step(seconds=float("inf")))
    with pytest.raises(StoreError, match="JSON"):
        store.write_step(step(reason="half \ud800"))
    assert store.steps("p", RUN_ID) == [kept]


def test_a_list_of_runs_does_not_read_their_steps(store: RunStore, storage: Datastore) -> None:
    store.write_run(run())
    store.write_step(step())
    store.write_job("p", RUN_ID, "train", job())
    assert len(list(storage.keys("mlpipe/runs/p/"))) == 1


@given(st.binary(), st.data())
def test_a_seal_breaks_with_any_bit(body: bytes, data: st.DataObject) -> None:
    whole = seal(body)
    assert unseal(whole) == body
    position = data.draw(st.integers(0, len(whole) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    spoilt = whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :]
    with pytest.raises(ValueError, match="checksum"):
        unseal(spoilt)
    with pytest.raises(ValueError, match="checksum"):
        unseal(whole[:position])
    assert json.loads(seal(json.dumps({"a": 1}).encode()))["record"] == {"a": 1}
