"""Decisions in runs without Airflow: what is left out, what stands in, what is planned, on every kind of store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.execution.events import Event, Outcome
from airflow_mlpipe.execution.planner import plan
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.run_pipeline import run_pipeline
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.workspace import Workspace

BRANCHES = Path(__file__).parents[1] / "generator/pipelines/branches.yml"
PARAMETERS = {"strict": True}
LEFT_OUT = {"repair", "tell", "improve.fit_3"}


def run(workspace: Workspace, steps: tuple[Step, ...], info: RunInfo) -> Outcome:
    events: list[Event] = []
    outcome = run_pipeline(workspace, steps, info, events.append)
    assert outcome.succeeded, outcome.errors
    return outcome


def decisions(outcome: Outcome) -> dict[str, str]:
    return {name: record.decision for name, record in outcome.records.items()}


def value_step(text: str, kind: str = "boolean") -> Step:
    """A step whose output ``v`` is a value."""
    output = {"type": "uri_file", "value": kind}
    return checked(Step, {"name": "check", "command": f"{text} > ${{{{outputs.v}}}}", "outputs": {"v": output}})


def reader(kind: str, **more: Any) -> Step:
    """A step that reads it."""
    value = {"type": "uri_file", "path": "${{parent.jobs.check.outputs.v}}", "value": kind}
    fields = {"name": "read", "command": "echo ${{inputs.v}} > ${{outputs.o}}", "inputs": {"v": value}}
    output = {"o": {"type": "uri_file"}}
    return checked(Step, {**fields, "outputs": output, "upstream": ("check",), **more})


def test_a_pipeline_with_decisions(workspace: Workspace, new_run: Callable[..., RunInfo]) -> None:
    steps = load_pipeline(BRANCHES).steps
    outcome = run(workspace, steps, new_run("r1", PARAMETERS))
    first = decisions(outcome)
    assert {name for name, decision in first.items() if decision == "skipped"} == LEFT_OUT
    assert {name for name, decision in first.items() if decision == "decided"} == {
        "decide",
        "strictly",
        "improve.again_1",
        "improve.again_2",
    }
    stored = outcome.records["improve.fit_3"].outputs["model"]
    assert stored == outcome.records["improve.fit_2"].outputs["model"]
    assert outcome.records["repair"].reason == "decide: the condition is true"

    again = plan(workspace, steps, new_run("r2", PARAMETERS))
    assert {item.decision for item in again} == {"reuse", "decide", "skip"}
    assert {item.step.name for item in again if item.decision == "skip"} == LEFT_OUT
    second = decisions(run(workspace, steps, new_run("r2", PARAMETERS)))
    assert second == {name: "reused" if decision == "ran" else decision for name, decision in first.items()}


def test_what_cannot_do_without_a_step_that_is_left_out_is_left_out_too(
    workspace: Workspace, new_run: Callable[..., RunInfo]
) -> None:
    outcome = run(workspace, load_pipeline(BRANCHES).steps, new_run("r1", {"strict": False}))
    skipped = {name for name, decision in decisions(outcome).items() if decision == "skipped"}
    loop = {"improve.fit_1", "improve.again_1", "improve.fit_2", "improve.again_2", "improve.fit_3"}
    assert skipped == {"repair", "tell", "show", *loop}
    assert decisions(outcome)["report"] == "ran"


@pytest.mark.parametrize(
    ("text", "kind", "seen"),
    [
        ("echo ' 0.50 '", "number", "0.5"),
        ("echo 7", "integer", "7"),
        ("printf 'a b\\n'", "string", "a b"),
        ("echo TRUE", "boolean", "true"),
    ],
)
def test_values_reach_the_next_step_in_their_type(
    workspace: Workspace, new_run: Callable[..., RunInfo], text: str, kind: str, seen: str
) -> None:
    outcome = run(workspace, (value_step(text, kind), reader(kind)), new_run())
    written = outcome.records["read"].outputs["o"]
    place = workspace.datastore(written.datastore)
    to = workspace.scratch / f"seen-{kind}"
    place.download(written.path, to)
    assert to.read_text().strip() == seen


def test_a_step_is_reused_when_the_value_is_the_same(workspace: Workspace, new_run: Callable[..., RunInfo]) -> None:
    run(workspace, (value_step("echo 0.5", "number"), reader("number")), new_run("r1"))
    again = run(workspace, (value_step("echo 0.50", "number"), reader("number")), new_run("r2"))
    assert decisions(again) == {"check": "ran", "read": "reused"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo perhaps", "must be true or false, got 'perhaps'"),
        ("printf '\\377'", "is not UTF-8 text"),
        ("head -c 70000 /dev/zero", "at most 64 KiB; it is 70000 bytes"),
    ],
)
def test_what_is_no_value_is_a_fault_that_names_it(
    workspace: Workspace, new_run: Callable[..., RunInfo], text: str, words: str
) -> None:
    condition = {"type": "uri_file", "path": "${{parent.jobs.check.outputs.v}}", "value": "boolean"}
    branch = {"name": "decide", "type": "branch", "inputs": {"condition": condition}, "upstream": ("check",)}
    steps = (value_step(text), checked(Step, {**branch, "branch": {"when_true": ["after"]}}))
    outcome = run_pipeline(workspace, steps, new_run(), lambda _: None)
    assert words in outcome.errors["decide"]
    assert outcome.errors["decide"].startswith("step decide, input condition: ")
