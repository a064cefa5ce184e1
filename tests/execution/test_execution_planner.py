"""Whole runs: planned at once, committed, and run without Airflow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.execution.events import Event
from airflow_mlpipe.execution.planner import commit_plan, plan
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.run_pipeline import run_pipeline
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.workspace import Workspace
from tests.execution.conftest import command_step, make_workspace

NewRun = Callable[..., RunInfo]


def after(name: str, *upstream: str, text: str = "", **more: Any) -> Step:
    """A step that writes the texts of the steps before it, and its own."""
    inputs: dict[str, Any] = {f"in_{one}": {"path": f"${{{{parent.jobs.{one}.outputs.model}}}}"} for one in upstream}
    cat = " ".join(f"${{{{inputs.in_{one}}}}}/m.txt" for one in upstream)
    command = f"(cat {cat} </dev/null; echo {name}{text}) > ${{{{outputs.model}}}}/m.txt"
    return command_step(name, command, inputs=inputs, upstream=list(upstream), **more)


def diamond(text: str = "") -> list[Step]:
    return [after("a"), after("b", "a", text=text), after("c", "a"), after("d", "b", "c")]


def decisions(workspace: Workspace, steps: list[Step], run: RunInfo) -> dict[str, str]:
    return {item.step.name: item.decision for item in plan(workspace, steps, run)}


def quiet(_: Event) -> None:
    return


def test_a_new_pipeline_runs_and_then_is_reused_whole(workspace: Workspace, new_run: NewRun) -> None:
    assert decisions(workspace, diamond(), new_run("r0")) == {"a": "run", "b": "later", "c": "later", "d": "later"}
    first = run_pipeline(workspace, diamond(), new_run("r1"), quiet)
    assert first.succeeded
    assert {record.decision for record in first.records.values()} == {"ran"}
    assert decisions(workspace, diamond(), new_run("r2")) == dict.fromkeys("abcd", "reuse")
    second = run_pipeline(workspace, diamond(), new_run("r2"), quiet)
    assert {record.decision for record in second.records.values()} == {"reused"}
    assert second.records["d"].outputs == first.records["d"].outputs


def test_planning_changes_nothing(workspace: Workspace, new_run: NewRun) -> None:
    run_pipeline(workspace, diamond(), new_run("r1"), quiet)
    before = sorted(workspace.datastore().keys(""))
    plan(workspace, diamond(), new_run("r2"))
    assert sorted(workspace.datastore().keys("")) == before


def test_equal_bytes_cut_the_rerun_off_early(workspace: Workspace, new_run: NewRun) -> None:
    steps = [after("a"), after("b", "a"), after("c", "b")]
    run_pipeline(workspace, steps, new_run("r1"), quiet)
    changed = [after("a"), after("b", "a", reuse_version="2"), after("c", "b")]
    assert decisions(workspace, changed, new_run("r2")) == {"a": "reuse", "b": "run", "c": "later"}
    outcome = run_pipeline(workspace, changed, new_run("r2"), quiet)
    assert {name: record.decision for name, record in outcome.records.items()} == {
        "a": "reused",
        "b": "ran",
        "c": "reused",
    }


def test_a_failure_stops_what_depends_on_it_and_nothing_else(workspace: Workspace, new_run: NewRun) -> None:
    steps = [after("a"), command_step("b", "exit 7", upstream=["a"]), after("c", "a"), after("d", "b", "c")]
    events: list[Event] = []
    outcome = run_pipeline(workspace, steps, new_run("r1"), events.append)
    assert not outcome.succeeded
    assert set(outcome.records) == {"a", "c"}
    assert "exit code 7" in outcome.errors["b"]
    assert outcome.blocked == ["d"]
    assert ("d", "upstream_failed") in {(event.step, event.state) for event in events}
    mended = run_pipeline(workspace, diamond(), new_run("r2"), quiet)
    assert mended.records["a"].decision == "reused"
    assert mended.records["c"].decision == "reused"


def test_a_cleared_plan_leaves_ended_steps_to_run_again(workspace: Workspace, new_run: NewRun) -> None:
    run_pipeline(workspace, diamond(), new_run("r1"), quiet)
    run = new_run("r2")
    assert commit_plan(workspace, run, plan(workspace, diamond(), run), 0) == ["a", "b", "c", "d"]
    assert commit_plan(workspace, run, plan(workspace, diamond(), run), 0) == ["a", "b", "c", "d"], (
        "a retry of the plan"
    )
    assert commit_plan(workspace, run, plan(workspace, diamond(), run), 1) == [], "a clear of the plan and its steps"


def test_steps_before_by_order_alone_are_waited_for(workspace: Workspace, new_run: NewRun) -> None:
    steps = [after("a"), command_step("b", upstream=["a"])]
    run_pipeline(workspace, steps, new_run("r1"), quiet)
    assert decisions(workspace, steps, new_run("r2", step_reuse={"a": "force"})) == {"a": "run", "b": "later"}


def test_missing_data_is_left_to_the_step(workspace: Workspace, new_run: NewRun) -> None:
    steps = [command_step("a", inputs={"raw": {"path": "azureml://datastores/landing/paths/none"}})]
    [item] = plan(workspace, steps, new_run("r1"))
    assert item.decision == "later"
    assert "there is no data" in item.reason


def test_a_missing_parameter_is_an_error_of_the_plan(workspace: Workspace, new_run: NewRun) -> None:
    with pytest.raises(ParameterError, match="the run has no parameter 'lr'"):
        plan(workspace, [command_step("a", inputs={"lr": "${{parent.inputs.lr}}"})], new_run("r1"))


def test_latest_and_optional_and_ignored_inputs(tmp_path: Path, new_run: NewRun) -> None:
    workspace = make_workspace(tmp_path)
    champion = {"type": "custom_model", "path": "azureml:best@latest", "optional": True, "identity": "ignore"}
    judge = command_step(
        "judge",
        "echo judged $[[${{inputs.champion}}]] > ${{outputs.model}}/m.txt",
        inputs={"champion": champion},
        outputs={"model": {"type": "custom_model", "name": "best"}},
    )
    first = run_pipeline(workspace, [judge], new_run("r1"), quiet)
    second = run_pipeline(workspace, [judge], new_run("r2"), quiet)
    assert first.records["judge"].registered == {"model": "best:1"}
    assert second.records["judge"].decision == "reused", "an ignored input does not count"


@pytest.mark.parametrize("copy_mode", ["merge_with_overwrite", "fail_if_conflict"])
def test_data_transfer_merges_what_the_partitions_name(
    copy_mode: str, workspace: Workspace, new_run: NewRun, tmp_path: Path
) -> None:
    landing = tmp_path / "landing"
    for month in range(1, 5):
        (landing / f"flights-2013-{month:02d}.csv").write_text(f"f{month}")
        (landing / f"weather-2013-{month:02d}.csv").write_text(f"w{month}")
    inputs = {
        name: {
            "path": "azureml://datastores/landing/paths/",
            "partitions": {"files": f"{name}-%Y-%m.csv", "count": "${{parent.inputs.window}}", "ahead": 1},
        }
        for name in ("flights", "weather")
    }
    step = checked(
        Step,
        {"name": "ingest", "type": "data_transfer", "copy_mode": copy_mode, "inputs": inputs, "outputs": {"model": {}}},
    )
    first = run_pipeline(workspace, [step], new_run("r1", {"window": 2}), quiet)
    ref = first.records["ingest"].outputs["model"]
    manifest = workspace.datastore().manifest(ref.path)
    assert manifest is not None
    months = ("01", "02", "03")
    wanted = [f"{name}-2013-{month}.csv" for name in ("flights", "weather") for month in months]
    assert [entry.path for entry in manifest.entries] == wanted
    (landing / "flights-2013-05.csv").write_text("f5")
    second = run_pipeline(workspace, [step], new_run("r2", {"window": 2}), quiet)
    assert second.records["ingest"].decision == "reused", "a file of another month changes nothing"
    third = run_pipeline(workspace, [step], new_run("r3", {"window": 3}), quiet)
    assert "files are missing" in third.errors["ingest"]
    assert "flights-2012-12.csv" in third.errors["ingest"]


def test_conflicting_files_are_refused_or_overwritten(workspace: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "landing" / name).mkdir()
        (tmp_path / "landing" / name / "same.txt").write_text(name)
    values = {
        "name": "copy",
        "type": "data_transfer",
        "inputs": {name: {"path": f"azureml://datastores/landing/paths/{name}"} for name in ("one", "two")},
        "outputs": {"model": {}},
    }
    refused = run_pipeline(
        workspace, [checked(Step, {**values, "copy_mode": "fail_if_conflict"})], new_run("r1"), quiet
    )
    assert "1 files are there already (same.txt)" in refused.errors["copy"]
    merged = run_pipeline(
        workspace, [checked(Step, {**values, "copy_mode": "merge_with_overwrite"})], new_run("r2"), quiet
    )
    ref = merged.records["copy"].outputs["model"]
    workspace.datastore().download(ref.path, tmp_path / "out")
    assert (tmp_path / "out" / "same.txt").read_text() == "two"


def test_a_changed_input_is_named_by_its_files(workspace: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / "landing" / f"{number}.csv").write_text("1")
    step = command_step(inputs={"raw": {"path": "azureml://datastores/landing/paths/"}})
    run_pipeline(workspace, [step], new_run("r1"), quiet)
    (tmp_path / "landing" / "3.csv").write_text("2")
    (tmp_path / "landing" / "9.csv").write_text("3")
    (tmp_path / "landing" / "0.csv").unlink()
    [item] = plan(workspace, [step], new_run("r2"))
    assert item.reason == "input raw: 1 of 5 files changed, 1 new, 1 gone: 3.csv, 9.csv, 0.csv"


def test_a_touched_file_is_reused_and_a_flipped_byte_is_not(
    workspace: Workspace, new_run: NewRun, tmp_path: Path
) -> None:
    file = tmp_path / "landing" / "a.csv"
    file.write_text("x" * 500_000)
    step = command_step(inputs={"raw": {"path": "azureml://datastores/landing/paths/"}})
    run_pipeline(workspace, [step], new_run("r1"), quiet)
    before = file.stat()
    file.touch()
    assert decisions(workspace, [step], new_run("r2")) == {"train": "reuse"}
    file.write_text("y" + "x" * 499_999)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert decisions(workspace, [step], new_run("r3")) == {"train": "run"}
