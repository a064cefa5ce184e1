"""A run that reuses looks, from below and from outside, like the same run without reuse."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.run_pipeline import run_pipeline
from airflow_mlpipe.frozen import checked, from_json, keys, plain, to_json
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace
from tests.execution.conftest import command_step, make_workspace

OWN = {
    "decision",
    "reason",
    "origin",
    "started",
    "ended",
    "seconds",
    "saved",
    "log",
    "run_id",
    "outputs",
    "registered",
    "epoch",
}
"""What may differ: who computed it, who decided, when, where the attempt lies, the numbers of registrations."""

METRIC = """echo '{"name": "auc", "value": %s, "step": null}' >> "$MLPIPE_METRICS_FILE"; """


@st.composite
def pipelines(draw: st.DrawFn) -> list[Step]:
    """Some steps, each of which reads some of those before it, logs metrics, and may register what it writes."""
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 3))):
        before = draw(st.lists(st.sampled_from([step.name for step in steps]), unique=True)) if steps else []
        inputs: dict[str, Any] = {
            f"i{name}": {"path": f"${{{{parent.jobs.{name}.outputs.model}}}}", "type": "custom_model"}
            for name in before
        }
        inputs |= {"n": draw(st.integers(0, 2)), "raw": {"path": "azureml://datastores/landing/paths/raw"}}
        read = " ".join(f"cat ${{{{inputs.i{name}}}}}/m.txt;" for name in before)
        metrics = METRIC % draw(st.sampled_from(["0.5", "1"])) if draw(st.booleans()) else ""
        output = {"type": "custom_model", "name": draw(st.sampled_from([None, f"model{number}"]))}
        command = f"{metrics}( {read} echo ${{{{inputs.n}}}} ) > ${{{{outputs.model}}}}/m.txt"
        steps.append(
            checked(
                Step,
                {
                    "name": f"s{number}",
                    "command": command,
                    "inputs": inputs,
                    "outputs": {"model": output},
                    "upstream": before,
                },
            )
        )
    return steps


def run_all(workspace: Workspace, steps: list[Step], run: RunInfo) -> dict[str, StepRecord]:
    outcome = run_pipeline(workspace, steps, run, lambda event: None)
    assert outcome.succeeded, outcome.errors
    return outcome.records


def seen(record: StepRecord) -> dict[str, Any]:
    shown = {key: value for key, value in plain(record).items() if key not in OWN}
    contents = {port: (ref.content, ref.type, ref.datastore) for port, ref in record.outputs.items()}
    return {**shown, "contents": contents, "registered": {port: text[:6] for port, text in record.registered.items()}}


@given(pipelines())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_reused_run_and_a_forced_run_give_equal_records(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = make_workspace(folder)
        (folder / "landing" / "raw").write_text("1")
        runs = {
            mode: RunInfo("demo", mode, {}, {}, folder, reuse="force" if mode == "forced" else "auto")
            for mode in ("first", "reused", "forced")
        }
        first, reused, forced = (run_all(workspace, steps, run) for run in runs.values())
        assert {record.decision for record in reused.values()} == {"reused"}
        assert {record.decision for record in forced.values()} == {"ran"}
        assert {name: seen(record) for name, record in reused.items()} == {
            name: seen(record) for name, record in forced.items()
        }
        for step, record in reused.items():
            assert record.registered == first[step].registered
            assert record.origin == {"pipeline": "demo", "run_id": first[step].run_id} or record.origin is not None


def test_a_step_after_a_reused_one_sees_no_difference(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    make = command_step(name="make")
    use = command_step(
        name="use",
        command="cat ${{inputs.i}}/m.txt > ${{outputs.model}}/m.txt",
        inputs={"i": {"path": "${{parent.jobs.make.outputs.model}}", "type": "custom_model"}},
        upstream=["make"],
    )
    run_all(workspace, [make], RunInfo("demo", "r1", {}, {}, tmp_path))
    after_reuse = run_all(workspace, [make, use], RunInfo("demo", "r2", {}, {}, tmp_path))
    assert {name: record.decision for name, record in after_reuse.items()} == {"make": "reused", "use": "ran"}
    forced = RunInfo("demo", "r3", {}, {}, tmp_path, step_reuse={"make": "force"})
    after_work = run_all(workspace, [make, use], forced)
    assert {name: record.decision for name, record in after_work.items()} == {"make": "ran", "use": "reused"}
    assert after_work["use"].key == after_reuse["use"].key


def test_a_forced_run_refreshes_the_record_and_a_disabled_one_does_not(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    step = command_step(command="echo $MLPIPE_JOB_KEY > ${{outputs.model}}/m.txt")

    def one(run_id: str, reuse: Any = "auto") -> StepRecord:
        return run_all(workspace, [step], RunInfo("demo", run_id, {}, {}, tmp_path, reuse=reuse))["train"]

    first, forced, disabled, later = one("r1"), one("r2", "force"), one("r3", "disable"), one("r4")
    assert len({str(record.outputs) for record in (first, forced, disabled)}) == 3
    assert later.outputs == forced.outputs


def _refresh(root: str, record: str, gate: Any, won: Any) -> None:
    workspace = make_workspace(Path(root))
    gate.wait(60)
    won.put(workspace.reuse.publish(from_json(ReuseRecord, record)))


@pytest.mark.parametrize("damage", ["deleted output", "edited output", "torn record"])
def test_two_who_refresh_a_damaged_result_at_once_leave_one_whole_result(damage: str, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    context = multiprocessing.get_context("fork")
    for turn in range(2):
        step = command_step(reuse_version=str(turn))
        runs = [f"{turn}-{number}" for number in range(3)]
        made: list[ReuseRecord] = []
        for run_id in runs:
            run = RunInfo("demo", run_id, {}, {}, tmp_path, reuse="force")
            key = run_all(workspace, [step], run)["train"].key
            assert key is not None
            stored = workspace.reuse.stored(key)
            assert stored is not None
            made.append(stored)
        broken = made[0]
        assert workspace.reuse.publish(broken, replace=True)
        _break(workspace, broken, damage)
        gate, won = context.Barrier(2), context.Queue()
        racers = [
            context.Process(target=_refresh, args=(str(tmp_path), to_json(record).decode(), gate, won))
            for record in made[1:]
        ]
        for racer in racers:
            racer.start()
        answers = [won.get(timeout=60) for _ in racers]
        for racer in racers:
            racer.join()
        assert any(answers)
        found = make_workspace(tmp_path).reuse.find(broken.key).record
        assert found in made[1:]


def _break(workspace: Workspace, record: ReuseRecord, damage: str) -> None:
    store = workspace.datastore()
    if damage == "torn record":
        [place] = [key for key in store.keys("mlpipe/reuse/") if record.key in key]
        store.replace(place, (store.read(place) or b"")[:-9])
        return
    place_of = store.local_path(record.outputs["model"].path)
    assert place_of is not None
    if damage == "deleted output":
        store.remove(record.outputs["model"].path)
    else:
        (place_of / "m.txt").write_text("other")


def test_the_records_differ_in_nothing_else(tmp_path: Path) -> None:
    """Every field of a step's record is either compared above or named as one's own."""
    assert set(keys(StepRecord)) - OWN == {"pipeline", "step", "key", "metrics", "inputs"}
