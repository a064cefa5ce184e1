"""Garbage collection: what goes, what stays, in which order, and beside whom."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_mlpipe.compute.base import JobHandle, JobSpec
from airflow_mlpipe.errors import DataError, ParameterError, StoreError
from airflow_mlpipe.frozen import checked, replaced, to_json
from airflow_mlpipe.retention import Pin, Pins, Policy, collect
from airflow_mlpipe.retention.base import age
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.reuse.inventory import attempts
from airflow_mlpipe.testing.reuse_store import KEY, OTHER_KEY, compute
from airflow_mlpipe.tracking.base import JobRecord, RunRecord, StepRecord
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

NOW = datetime.now(timezone.utc)
MONTHS = NOW + timedelta(days=90)
DAY = timedelta(days=1, seconds=1)
NOTHING = Policy(keep_last=0)


@pytest.fixture(params=["local", "memory", "azure"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    store = {"type": "memory"} | ({"type": "local", "path": "store"} if request.param == "local" else {})
    settings = {
        "datastores": {"workspaceblobstore": store},
        "compute": {"local": {"type": "local", "workdir": "jobs"}},
    }
    workspace = workspace_from_mapping(settings, tmp_path)
    if request.param == "azure":
        workspace._datastores["workspaceblobstore"] = request.getfixturevalue("azurite").datastore("workspaceblobstore")
    return workspace


def publish(workspace: Workspace, tmp_path: Path, key: str = KEY) -> ReuseRecord:
    record = compute(workspace.reuse, tmp_path / "made", key)
    assert workspace.reuse.publish(record)
    return record


def note(workspace: Workspace, record: ReuseRecord, run_id: str = "r", when: datetime = NOW) -> None:
    workspace.runs.write_run(RunRecord(pipeline="p", run_id=run_id, started=when))
    workspace.runs.write_step(
        StepRecord(
            pipeline="p",
            run_id=run_id,
            step="s",
            decision="ran",
            key=record.key,
            outputs=record.outputs,
            started=when,
            ended=when,
        )
    )


def everything(workspace: Workspace) -> dict[str, bytes | None]:
    store = workspace.datastore()
    return {key: store.read(key) for key in store.keys("mlpipe/")}


def test_a_dry_run_says_what_would_go_and_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    publish(workspace, tmp_path)
    before = everything(workspace)
    report = collect(workspace, NOTHING, now=MONTHS)
    [item] = report.items
    assert (item.kind, item.action, item.name) == ("result", "retire", "s of run r of p")
    assert item.why == f"not used since {NOW:%Y-%m-%d}"
    assert item.size is not None
    assert item.size > 1500
    assert item.due == MONTHS + NOTHING.grace
    assert everything(workspace) == before
    assert report.to_json()["dry_run"] is True


def test_a_result_goes_in_two_collections_and_its_record_goes_first(workspace: Workspace, tmp_path: Path) -> None:
    record = publish(workspace, tmp_path)
    collect(workspace, NOTHING, delete=True, now=MONTHS)
    assert workspace.reuse.find(KEY).record is None
    assert workspace.datastore().summary(record.attempt) is not None
    [waiting] = collect(workspace, NOTHING, delete=True, now=MONTHS + timedelta(hours=23)).items
    assert waiting.action == "wait"
    [gone] = collect(workspace, NOTHING, delete=True, now=MONTHS + DAY).items
    assert gone.action == "delete"
    assert everything(workspace) == {}
    assert workspace.datastore().summary(record.attempt) is None


@pytest.mark.parametrize("root", ["recent", "run", "asset", "pin", "job", "input of a job"])
def test_what_somebody_needs_stays(workspace: Workspace, tmp_path: Path, root: str) -> None:
    record = publish(workspace, tmp_path)
    policy = NOTHING
    if root == "recent":
        policy = Policy(timedelta(days=100), 0)
    elif root == "run":
        note(workspace, record)
        policy = Policy(keep_last=1)
    elif root == "asset":
        workspace.registry.register("model", "m", record.outputs["model"])
    elif root == "pin":
        Pins(workspace.datastore()).put(Pin("keep", "p", "r", (record.attempt,)))
    else:
        mine = record.attempt if root == "job" else workspace.reuse.new_attempt()
        source = {"port": "i", "datastore": "workspaceblobstore", "path": f"{record.attempt}/model", "digest": "x"}
        job = {"ordinal": 1, "epoch": 0, "key": "k", "attempt": mine, "target": "local", "sources": [source]}
        workspace.runs.create_job("p", "r", "s", checked(JobRecord, {**job, "started": MONTHS}))
    for days in (0, 2, 4):
        report = collect(workspace, policy, delete=True, now=MONTHS + timedelta(days=days))
        assert [item for item in report.items if item.kind in ("result", "attempt")] == []
    assert workspace.reuse.find(KEY).record == record


def test_only_the_last_runs_keep_their_outputs(workspace: Workspace, tmp_path: Path) -> None:
    old, new = publish(workspace, tmp_path), publish(workspace, tmp_path, OTHER_KEY)
    note(workspace, old, "r1", NOW)
    note(workspace, new, "r2", NOW + timedelta(hours=1))
    collect(workspace, Policy(keep_last=1), delete=True, now=MONTHS)
    assert workspace.reuse.find(KEY).record is None
    assert workspace.reuse.find(OTHER_KEY).record == new


def test_the_data_of_a_crashed_step_go_after_the_grace(workspace: Workspace, tmp_path: Path) -> None:
    record = compute(workspace.reuse, tmp_path / "made")
    assert collect(workspace, NOTHING, delete=True, now=NOW).items == ()
    [first] = collect(workspace, NOTHING, delete=True, now=MONTHS).items
    assert (first.kind, first.action, first.why) == ("attempt", "retire", "no record, no run and no asset names it")
    assert workspace.datastore().summary(record.attempt) is not None
    collect(workspace, NOTHING, delete=True, now=MONTHS + DAY)
    assert attempts(workspace.reuse) == set()


def test_a_collection_that_dies_after_any_deed_is_ended_by_the_next(workspace: Workspace, tmp_path: Path) -> None:
    for number in range(3):
        record = publish(workspace, tmp_path, f"{number}" * 64)
        note(workspace, record, f"r{number}")
    policy, now = Policy(keep_last=0, keep_runs=0), MONTHS
    while items := collect(workspace, policy, now=now).items:
        items[0].apply()
        now += DAY
    assert everything(workspace) == {}


def test_a_crash_between_tombstone_and_record_loses_nothing(workspace: Workspace, tmp_path: Path) -> None:
    record = publish(workspace, tmp_path)
    collect(workspace, NOTHING, delete=True, now=MONTHS)
    assert workspace.reuse.publish(record)
    [again] = collect(workspace, NOTHING, delete=True, now=MONTHS + DAY).items
    assert again.action == "retire"
    assert workspace.datastore().summary(record.attempt) is not None


def test_a_late_use_brings_the_record_back(workspace: Workspace, tmp_path: Path) -> None:
    record = publish(workspace, tmp_path)
    collect(workspace, NOTHING, delete=True, now=MONTHS)
    note(workspace, record, "late", MONTHS)
    [back] = collect(workspace, NOTHING, delete=True, now=MONTHS + timedelta(hours=1)).items
    assert (back.action, back.why) == ("restore", "needed again: p, run late")
    assert workspace.reuse.find(KEY).record == record
    assert collect(workspace, NOTHING, now=MONTHS + DAY).items == ()


def test_a_use_between_look_and_deed_spares_the_result(workspace: Workspace, tmp_path: Path) -> None:
    record = publish(workspace, tmp_path)
    [item] = collect(workspace, NOTHING, now=MONTHS).items
    workspace.reuse.marks.touch(KEY, NOW - timedelta(days=60))
    recent = collect(workspace, NOTHING, now=NOW + timedelta(days=20))
    assert recent.items == ()
    workspace.datastore().replace(f"mlpipe/reuse/{KEY[:2]}/{KEY}.json", b"another")
    assert item.apply() == "it was replaced meanwhile"
    assert workspace.datastore().summary(record.attempt) is not None


def look_again(workspace: Workspace, stop: threading.Event, wrong: list[str]) -> None:
    while not stop.is_set():
        found = workspace.reuse.find(KEY).record
        outputs = found.outputs.values() if found else ()
        wrong += [item.path for item in outputs if workspace.datastore().summary(item.path) != item.content]


def test_readers_beside_a_collection_see_all_or_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """Reuse test 54: collection during a run that is about to hit gives a hit or a rerun, never a missing file."""
    record = publish(workspace, tmp_path)
    wrong: list[str] = []
    stop = threading.Event()
    threads = [threading.Thread(target=look_again, args=(workspace, stop, wrong)) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(4):
            now = MONTHS + turn * timedelta(hours=1)
            retired = collect(workspace, NOTHING, delete=True, now=now)
            assert [item.action for item in retired.items] == ["retire"]
            note(workspace, record, f"late{turn}", now)
            assert [item.action for item in collect(workspace, NOTHING, delete=True, now=now).items] == ["restore"]
            workspace.runs.storage.delete(f"mlpipe/steps/p/late{turn}/s.json")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_two_collections_at_once_do_not_disturb_each_other(workspace: Workspace, tmp_path: Path) -> None:
    for number in range(8):
        publish(workspace, tmp_path, f"{number}" * 64)
    for now in (MONTHS, MONTHS + DAY, MONTHS + 2 * DAY):
        with ThreadPoolExecutor(2) as pool:
            reports = list(pool.map(lambda moment: collect(workspace, NOTHING, True, moment), [now, now]))
        assert [report.problems for report in reports] == [(), ()]
    assert everything(workspace) == {}


def test_old_jobs_and_runs_go_and_running_jobs_stay(tmp_path: Path) -> None:
    workspace = workspace_from_mapping({}, tmp_path)
    target = workspace.compute()
    for run_id, command in (("r1", "true"), ("r2", "sleep 60")):
        handle: JobHandle = asyncio.run(target.submit(JobSpec(command), f"key-{run_id}"))
        ended = "succeeded" if run_id == "r1" else None
        job = {"ordinal": 1, "epoch": 0, "key": handle.key, "attempt": workspace.reuse.new_attempt(), "ended": ended}
        job |= {"target": "local", "started": NOW, "handle": handle.to_json()}
        workspace.runs.create_job("p", run_id, "s", checked(JobRecord, job))
    while not asyncio.run(target.status([JobHandle("local", "key-r1", "key-r1")]))[0].state.is_terminal:
        pass
    policy = Policy(keep_last=0, keep_runs=0)
    report = collect(workspace, policy, delete=True, now=MONTHS)
    assert [(item.kind, item.name) for item in report.items] == [
        ("job folder", "jobs of run r1 of p"),
        ("run records", "r1 of p"),
    ]
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir() if path.name.startswith("key-")) == ["key-r2"]
    assert workspace.runs.jobs("p", "r1", "s") == []
    assert len(workspace.runs.jobs("p", "r2", "s")) == 1
    asyncio.run(target.cancel(JobHandle("local", "key-r2", "key-r2"), grace=0.1))
    assert len(collect(workspace, policy, delete=True, now=MONTHS).items) == 2


def test_scratch_of_dead_processes_goes(tmp_path: Path) -> None:
    workspace = workspace_from_mapping({}, tmp_path)
    dead, young, foreign = (workspace.scratch / name for name in ("mlp-" + "a" * 48, "mlp-" + "b" * 48, "mine"))
    for folder in (dead, young, foreign):
        folder.mkdir()
        (folder / "x").write_bytes(b"12345")
    for folder in (dead, foreign):
        for path in (folder / "x", folder):
            os.utime(path, (0, 0))
    [item] = collect(workspace, NOTHING, delete=True, now=NOW).items
    assert (item.kind, item.name, item.size) == ("scratch", dead.name, 5)
    assert [folder.exists() for folder in (dead, young, foreign)] == [False, True, True]


def test_source_texts_that_nothing_names_go_and_come_back(workspace: Workspace, tmp_path: Path) -> None:
    from airflow_mlpipe.snapshot import take_snapshot

    source = tmp_path / "src"
    source.mkdir()
    (source / "train.py").write_text("print()\n")
    snapshot = take_snapshot(source)
    digest = snapshot.identity()["train.py"]
    workspace.reuse.keep_code(snapshot)
    [item] = collect(workspace, NOTHING, delete=True, now=NOW).items
    assert (item.kind, item.name) == ("source texts", "1 file")
    assert workspace.reuse.code_text(digest) is None
    workspace.reuse.keep_code(snapshot)
    assert workspace.reuse.code_text(digest) == "print()\n"
    job = {"ordinal": 1, "epoch": 0, "key": "k", "attempt": "a", "target": "local", "started": NOW}
    parts = {"code": snapshot.identity()}
    workspace.runs.create_job("p", "r", "s", checked(JobRecord, {**job, "parts": parts}))
    assert collect(workspace, NOTHING, delete=True, now=NOW).items == ()


@pytest.mark.parametrize(("place", "kind"), [("pins/a.json", StoreError), ("models/m/00000001.json", DataError)])
def test_nothing_goes_while_what_keeps_it_cannot_be_read(
    workspace: Workspace, tmp_path: Path, place: str, kind: type[Exception]
) -> None:
    publish(workspace, tmp_path)
    workspace.datastore().replace(f"mlpipe/{place}", b"damaged")
    before = everything(workspace)
    with pytest.raises(kind, match="damaged"):
        collect(workspace, NOTHING, delete=True, now=MONTHS)
    assert everything(workspace) == before


def test_records_of_another_version_and_other_data_in_the_store_stay(workspace: Workspace, tmp_path: Path) -> None:
    from airflow_mlpipe.storage import seal

    record = publish(workspace, tmp_path)
    body = to_json(replaced(record, schema_version=99))
    workspace.datastore().replace(f"mlpipe/reuse/{KEY[:2]}/{KEY}.json", seal(body))
    workspace.datastore().replace("mlpipe/attempts/notes", b"mine")
    workspace.datastore().replace("other/attempts/x", b"mine")
    before = everything(workspace)
    for days in (0, 2, 4):
        collect(workspace, NOTHING, delete=True, now=MONTHS + timedelta(days=days))
    assert everything(workspace) == before


def test_leases_of_results_that_are_gone_go(workspace: Workspace) -> None:
    job = {
        "ordinal": 1,
        "epoch": 0,
        "key": "k",
        "attempt": "a",
        "target": "local",
        "started": MONTHS,
        "ended": "failed",
    }
    workspace.runs.create_job("p", "r", "s", checked(JobRecord, {**job, "fingerprint": OTHER_KEY}))
    for key in (KEY, OTHER_KEY):
        workspace.datastore().replace(f"mlpipe/flights/{key}/00000001.json", b"{}")
    [item] = collect(workspace, Policy(keep_last=1), delete=True, now=MONTHS).items
    assert (item.kind, item.name) == ("leases", "1 steps")
    assert list(workspace.datastore().keys("mlpipe/flights/")) == [f"mlpipe/flights/{OTHER_KEY}/00000001.json"]


def test_a_mark_is_written_at_most_daily_and_not_for_new_results(workspace: Workspace) -> None:
    marks = workspace.reuse.marks
    marks.touch(KEY, NOW)
    assert marks.last(KEY) is None
    marks.touch(KEY, NOW - timedelta(days=3))
    first = marks.last(KEY)
    marks.touch(KEY, NOW - timedelta(days=3))
    assert first is not None
    assert marks.last(KEY) == first


@pytest.mark.parametrize(
    ("text", "hours"), [("30d", 720), ("24h", 24), ("1.5h", 1.5), ("90m", 1.5), ("0", 0), ("2w", 336)]
)
def test_ages(text: str, hours: float) -> None:
    assert age(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "x", "-1d", "1y", "nan", "inf", "9999999999d", "1 d d", "٣d"])
def test_wrong_ages_are_refused(text: str) -> None:
    with pytest.raises(ParameterError, match=r"--grace is .* write a length of time"):
        age(text, "--grace")


def test_wrong_policies_are_refused() -> None:
    with pytest.raises(ParameterError, match="keep_last is -1"):
        Policy(keep_last=-1)
    with pytest.raises(ParameterError, match="grace is negative"):
        Policy(grace=timedelta(-1))
