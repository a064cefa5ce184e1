"""How old a result may be, and how an input is told from another one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.content.markers import is_marker
from airflow_mlpipe.execution.planner import plan
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.run_pipeline import run_pipeline
from airflow_mlpipe.frozen import checked, replaced
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace
from tests.execution.conftest import command_step, make_workspace

NewRun = Callable[..., RunInfo]
DAY = 86400.0


def run_one(workspace: Workspace, step: Step, run: RunInfo) -> StepRecord:
    outcome = run_pipeline(workspace, [step], run, lambda event: None)
    assert outcome.succeeded, outcome.errors
    return outcome.records[step.name]


def age(workspace: Workspace, key: str | None, days: float) -> ReuseRecord:
    assert key is not None
    stored = workspace.reuse.stored(key)
    assert stored is not None
    older = replaced(stored, created=stored.created - timedelta(days=days), nonce="old")
    assert workspace.reuse.publish(older, replace=True)
    return older


@pytest.mark.parametrize(
    ("ttl", "words"),
    [
        (7 * DAY, "7 days"),
        (DAY, "1 day"),
        (12 * 3600, "12 hours"),
        (90 * 60, "90 minutes"),
        (61, "61 seconds"),
        (1, "1 second"),
        (0.5, "0.5 seconds"),
    ],
)
def test_a_result_that_is_too_old_is_made_anew_and_replaced(
    ttl: float, words: str, workspace: Workspace, new_run: NewRun
) -> None:
    step = command_step(ttl=ttl)
    first = run_one(workspace, step, new_run("r1"))
    age(workspace, first.key, 8)
    [item] = plan(workspace, [step], new_run("r2"))
    assert (item.decision, item.reason) == ("run", f"its result is older than {words}")
    if ttl == 7 * DAY:
        assert run_one(workspace, step, new_run("r2")).decision == "ran"
        third = run_one(workspace, step, new_run("r3"))
        assert (third.decision, third.origin) == ("reused", {"pipeline": "demo", "run_id": "r2"})


def test_a_result_that_is_young_enough_is_reused_and_ttl_is_no_identity(workspace: Workspace, new_run: NewRun) -> None:
    first = run_one(workspace, command_step(), new_run("r1"))
    age(workspace, first.key, 6)
    assert run_one(workspace, command_step(ttl=7 * DAY), new_run("r2")).decision == "reused"


def test_a_clock_that_went_back_makes_no_result_too_old(workspace: Workspace, new_run: NewRun) -> None:
    first = run_one(workspace, command_step(), new_run("r1"))
    age(workspace, first.key, -3)
    assert run_one(workspace, command_step(ttl=60), new_run("r2")).decision == "reused"


def test_a_slower_run_does_not_put_its_result_in_place_of_a_fresh_one(workspace: Workspace, new_run: NewRun) -> None:
    step = command_step(ttl=DAY)
    first = run_one(workspace, step, new_run("r1"))
    assert first.key is not None
    fresh = workspace.reuse.stored(first.key)
    forced = run_one(workspace, step, new_run("r2", reuse="disable"))
    assert forced.decision == "ran"
    assert workspace.reuse.stored(first.key) == fresh


@pytest.mark.parametrize("identity", ["stat", "etag", "version"])
@pytest.mark.parametrize("place", ["datastore", "local"])
def test_a_marked_input_counts_by_its_marks_and_is_not_read(
    identity: str, place: str, tmp_path: Path, new_run: NewRun
) -> None:
    workspace = make_workspace(tmp_path)
    folder = tmp_path / "landing" / "raw"
    folder.mkdir()
    file = folder / "a.csv"
    file.write_text("1")
    os.utime(file, ns=(10**18, 10**18))
    path = "azureml://datastores/landing/paths/raw" if place == "datastore" else "landing/raw"
    step = command_step(
        command="cat ${{inputs.raw}}/a.csv > ${{outputs.model}}/m.txt",
        inputs={"raw": {"path": path, "identity": identity}},
    )
    first = run_one(workspace, step, new_run("r1"))
    [job] = workspace.runs.jobs("demo", "r1", "train")
    assert all(is_marker(source.digest) for source in job.sources)
    file.write_text("2")
    os.utime(file, ns=(10**18, 10**18))
    assert run_one(workspace, step, new_run("r2")).outputs == first.outputs
    file.touch()
    third = run_one(workspace, step, new_run("r3"))
    assert third.decision == "ran"
    assert third.reason == "input raw: other names, sizes or times of its files"


@pytest.mark.parametrize("store", ["local", "memory"])
def test_a_transfer_of_marked_data_is_verified_by_its_marks(store: str, tmp_path: Path, new_run: NewRun) -> None:
    workspace = make_workspace(tmp_path, store)
    (tmp_path / "landing" / "raw").mkdir()
    (tmp_path / "landing" / "raw" / "a.csv").write_text("1")
    step = checked(
        Step,
        {
            "name": "ingest",
            "type": "data_transfer",
            "inputs": {"i": {"path": "azureml://datastores/landing/paths/raw", "identity": "stat"}},
            "outputs": {"o": {}},
        },
    )
    done = run_one(workspace, step, new_run("r1"))
    assert not is_marker(done.outputs["o"].content.digest), "what we wrote ourselves is known by its bytes"
    assert run_one(workspace, step, new_run("r2")).decision == "reused"


def test_marked_data_that_changes_while_the_step_runs_is_not_kept(tmp_path: Path, new_run: NewRun) -> None:
    workspace = make_workspace(tmp_path)
    (tmp_path / "landing" / "raw").mkdir()
    (tmp_path / "landing" / "raw" / "a.csv").write_text("1")
    raw = {"path": "azureml://datastores/landing/paths/raw", "identity": "stat"}
    step = command_step(
        command="echo more >> ${{inputs.raw}}/a.csv; echo x > ${{outputs.model}}/m.txt", inputs={"raw": raw}
    )
    said: list[str] = []
    outcome = run_pipeline(workspace, [step], new_run("r1"), lambda event: said.append(event.text))
    assert outcome.succeeded
    assert "not kept for reuse: input raw changed while the step ran" in said
    assert workspace.reuse.stored(str(outcome.records["train"].key)) is None


def test_the_latest_version_is_resolved_at_run_time_and_recorded(workspace: Workspace, new_run: NewRun) -> None:
    for number, run_id in enumerate(("a", "b"), start=1):
        make = command_step(
            name="make",
            command=f"echo {number} > ${{{{outputs.model}}}}/m.txt",
            outputs={"model": {"type": "uri_folder", "name": "daily"}},
        )
        assert run_one(workspace, make, new_run(run_id)).registered == {"model": f"daily:{number}"}
        use = command_step(
            name="use",
            command="cat ${{inputs.d}}/m.txt > ${{outputs.model}}/m.txt",
            inputs={"d": {"path": "azureml:daily@latest"}},
        )
        ran = run_one(workspace, use, new_run(f"use-{run_id}"))
        assert (ran.decision, ran.inputs) == ("ran", {"d": f"daily:{number}"})
        reused = run_one(workspace, use, new_run(f"again-{run_id}"))
        assert (reused.decision, reused.inputs) == ("reused", {"d": f"daily:{number}"})
    pinned = replaced(use, inputs={"d": replaced(use.inputs["d"], path="azureml:daily:1")})  # type: ignore[union-attr]
    first = run_one(workspace, pinned, new_run("pinned"))
    assert (first.decision, first.origin) == ("reused", {"pipeline": "demo", "run_id": "use-a"})


def test_a_pipeline_file_says_both(tmp_path: Path) -> None:
    from airflow_mlpipe.spec import load_pipeline

    file = tmp_path / "p.yml"
    job: dict[str, Any] = {
        "type": "command",
        "command": "cat ${{inputs.raw}}",
        "environment": {"image": "python:3.11"},
        "inputs": {"raw": {"type": "uri_folder", "path": "azureml://datastores/landing/paths/raw"}},
        "airflow": {"ttl": "7d", "identity": {"raw": "stat"}},
    }
    file.write_text(json.dumps({"type": "pipeline", "name": "p", "jobs": {"a": job}}))
    [step] = load_pipeline(file).steps
    assert step.ttl == 7 * DAY
    assert step.inputs["raw"].identity == "stat"  # type: ignore[union-attr]
