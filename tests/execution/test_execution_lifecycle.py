"""The straight line of a step's life: run, reuse, adopt, clear, fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlpipe.compute.base import JobState
from airflow_mlpipe.errors import DataError, OutputMissingError, ParameterError, StepFailedError
from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import abandon, begin
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace
from tests.execution.conftest import command_step, make_workspace

NewRun = Callable[..., RunInfo]


def wait(workspace: Workspace, step: Step, run: RunInfo, ticket: Ticket) -> StepRecord:
    target = workspace.compute(ticket.handle.target)
    status, _ = asyncio.run(watch(target, ticket.handle, Polling(0.05, ticket.deadline)))
    assert status is not None
    return finish(workspace, step, run, ticket, status)


def run_step(workspace: Workspace, step: Step, run: RunInfo, epoch: int = 0) -> StepRecord:
    begun = begin(workspace, step, run, epoch)
    return begun if isinstance(begun, StepRecord) else wait(workspace, step, run, begun)


def output_text(workspace: Workspace, record: StepRecord, tmp_path: Path, name: str = "m.txt") -> str:
    ref = record.outputs["model"]
    to = tmp_path / f"fetched-{record.run_id}-{record.step}"
    workspace.datastore(ref.datastore).download(ref.path, to)
    return (to / name).read_text()


def test_the_same_step_in_a_second_run_is_reused(workspace: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    first = run_step(workspace, command_step(), new_run("r1"))
    second = run_step(workspace, command_step(), new_run("r2"))
    assert (first.decision, first.reason) == ("ran", "no earlier result")
    assert second.decision == "reused"
    assert second.outputs == first.outputs
    assert second.reason == "identical to run r1 (1 file, 3 B)"
    assert output_text(workspace, second, tmp_path) == "hi\n"


def test_a_changed_parameter_runs_and_says_so(workspace: Workspace, new_run: NewRun) -> None:
    step = command_step(
        command="echo ${{inputs.lr}} > ${{outputs.model}}/m.txt", inputs={"lr": "${{parent.inputs.lr}}"}
    )
    run_step(workspace, step, new_run("r1", {"lr": 0.1}))
    changed = run_step(workspace, step, new_run("r2", {"lr": 0.2}))
    assert (changed.decision, changed.reason) == ("ran", "input lr: 0.1 -> 0.2")
    assert run_step(workspace, step, new_run("r3", {"lr": 0.1})).decision == "reused"


def test_changed_source_is_quoted(workspace: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    code = tmp_path / "src"
    code.mkdir()
    (code / "train.sh").write_text("# n_estimators=100\necho hi > $1/m.txt\n")
    step = command_step(command="sh train.sh ${{outputs.model}}", code="src")
    run_step(workspace, step, new_run("r1"))
    (code / "train.sh").write_text("# n_estimators=200\necho hi > $1/m.txt\n")
    changed = run_step(workspace, step, new_run("r2"))
    assert changed.reason == "source changed: train.sh (line 1: # n_estimators=100 -> # n_estimators=200)"
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert run_step(workspace, step, new_run("r3")).decision == "reused"


def test_names_timeouts_and_compute_do_not_count(workspace: Workspace, new_run: NewRun) -> None:
    run_step(workspace, command_step(name="a"), new_run("r1"))
    other = run_step(workspace, command_step(name="b", timeout=100, upstream=[]), new_run("r2"))
    assert other.decision == "reused"


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_output_is_a_miss(damage: str, tmp_path: Path, new_run: NewRun) -> None:
    workspace = make_workspace(tmp_path)
    first = run_step(workspace, command_step(), new_run("r1"))
    file = workspace.datastore().local_path(first.outputs["model"].path) / "m.txt"  # type: ignore[operator]
    if damage == "flip":
        file.write_text("ho\n")
    elif damage == "truncate":
        file.write_text("")
    else:
        file.unlink()
    second = run_step(make_workspace(tmp_path), command_step(), new_run("r2"))
    assert second.decision == "ran"
    assert "output model was" in second.reason
    assert run_step(make_workspace(tmp_path), command_step(), new_run("r3")).decision == "reused"


def test_a_step_that_has_ended_returns_its_record_on_the_same_epoch(workspace: Workspace, new_run: NewRun) -> None:
    step = command_step()
    first = run_step(workspace, step, new_run("r1"), epoch=2)
    again = begin(workspace, step, new_run("r1"), epoch=2)
    assert again == first


def test_a_clear_runs_again_and_refreshes_the_record(workspace: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    step = command_step(command="date +%s%N > ${{outputs.model}}/m.txt")
    first = run_step(workspace, step, new_run("r1"), epoch=2)
    cleared = run_step(workspace, step, new_run("r1"), epoch=4)
    assert cleared.decision == "ran"
    assert "clear" in cleared.reason
    assert cleared.outputs["model"].path != first.outputs["model"].path
    later = run_step(workspace, step, new_run("r2"))
    assert later.outputs == cleared.outputs


def test_a_retry_adopts_the_running_job(tmp_path: Path, new_run: NewRun) -> None:
    workspace = make_workspace(tmp_path, target="local")
    step = command_step(command="sleep 1; echo x >> count; cat count > ${{outputs.model}}/m.txt")
    first = begin(workspace, step, new_run("r1"), 0)
    said: list[str] = []
    again = begin(make_workspace(tmp_path, target="local"), step, new_run("r1"), 0, said.append)
    assert isinstance(first, Ticket)
    assert isinstance(again, Ticket)
    assert again.handle == first.handle
    assert any("adopting" in text for text in said)
    record = wait(workspace, step, new_run("r1"), again)
    assert record.decision == "ran"
    assert len(workspace.runs.jobs("demo", "r1", "train")) == 1


def test_an_intent_without_a_job_is_submitted_under_its_own_key(workspace: Workspace, new_run: NewRun) -> None:
    step, run = command_step(), new_run("r1")
    ticket = begin(workspace, step, run, 0)
    assert isinstance(ticket, Ticket)
    [job] = workspace.runs.jobs("demo", "r1", "train")
    workspace.runs.write_job("demo", "r1", "train", replaced(job, handle=None))
    again = begin(workspace, step, run, 0)
    assert isinstance(again, Ticket)
    assert again.handle.key == ticket.handle.key
    assert wait(workspace, step, run, again).decision == "ran"


def test_a_failed_step_says_what_the_script_said_and_a_retry_is_a_new_job(
    workspace: Workspace, new_run: NewRun
) -> None:
    step, run = command_step(command="echo first; echo the data is odd >&2; exit 3"), new_run("r1")
    for ordinal in (1, 2):
        with pytest.raises(StepFailedError) as caught:
            run_step(workspace, step, run)
        text = str(caught.value)
        assert "Step train failed with exit code 3." in text
        assert "the data is odd" in text
        assert caught.value.exit_code == 3
        assert len(workspace.runs.jobs("demo", "r1", "train")) == ordinal
    record = workspace.runs.read_step("demo", "r1", "train")
    assert record is not None
    assert record.decision == "failed"
    assert workspace.reuse.nearest("demo", "train") is None


def test_a_missing_output_publishes_nothing(workspace: Workspace, new_run: NewRun) -> None:
    step = command_step(command="true")
    with pytest.raises(OutputMissingError, match="wrote nothing to its output 'model'"):
        run_step(workspace, step, new_run("r1"))
    with pytest.raises(OutputMissingError):
        run_step(workspace, step, new_run("r2"))


def test_an_optional_output_may_stay_empty(workspace: Workspace, new_run: NewRun) -> None:
    step = command_step(command="true", outputs={"model": {"type": "custom_model", "optional": True, "name": "m"}})
    record = run_step(workspace, step, new_run("r1"))
    assert record.outputs == {}
    assert workspace.registry.names("model") == []


def test_a_named_output_is_registered_once_per_content(workspace: Workspace, new_run: NewRun) -> None:
    outputs = {"model": {"type": "custom_model", "name": "flights"}}
    step = command_step(
        command="echo ${{inputs.x}} > ${{outputs.model}}/m.txt", inputs={"x": "${{parent.inputs.x}}"}, outputs=outputs
    )
    registered = [
        run_step(workspace, step, new_run(f"r{number}", {"x": value})).registered["model"]
        for number, value in enumerate(["a", "b", "b", "a"])
    ]
    assert registered == ["flights:1", "flights:2", "flights:2", "flights:1"]
    latest = workspace.registry.get("model", "flights", "latest")
    assert latest is not None
    assert latest.lineage["run_id"] == "r1"


@pytest.mark.parametrize("mode", ["force", "disable"])
def test_force_refreshes_and_disable_leaves_alone(mode: str, workspace: Workspace, new_run: NewRun) -> None:
    step = command_step(command="date +%s%N > ${{outputs.model}}/m.txt")
    first = run_step(workspace, step, new_run("r1"))
    second = run_step(workspace, step, new_run("r2", reuse=mode))
    third = run_step(workspace, step, new_run("r3"))
    assert second.decision == "ran"
    assert third.outputs == (second.outputs if mode == "force" else first.outputs)
    single = run_step(workspace, step, new_run("r4", step_reuse={"train": mode}))
    assert single.decision == "ran"


def test_not_deterministic_is_never_reused(workspace: Workspace, new_run: NewRun) -> None:
    step = command_step(is_deterministic=False)
    assert [run_step(workspace, step, new_run(f"r{n}")).decision for n in range(2)] == ["ran", "ran"]


def test_hostile_values_arrive_as_the_same_strings(workspace: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    hostile = [
        "O'Brien",
        "C:\\new",
        '"""',
        "{{ ds }}",
        "a\nb",
        "2nd",
        "lambda",
        "$(touch x)",
        "`touch x`",
        "*",
        "--",
        " ",
        "é",
    ]
    for index, text in enumerate(hostile):
        step = command_step(
            command="""cd ${{outputs.model}}
            printf '%s' ${{inputs.x}} > bare; printf '%s' "<${{inputs.x}}>" > double
            printf '%s' '<${{inputs.x}}>' > single; printf '%s' "$MINE" > m.txt""",
            inputs={"x": text},
            environment_variables={"MINE": text},
        )
        record = run_step(workspace, step, new_run(f"r{index}"))
        ref = record.outputs["model"]
        to = tmp_path / f"got{index}"
        workspace.datastore(ref.datastore).download(ref.path, to)
        got = {name: (to / name).read_bytes().decode() for name in ("bare", "double", "single", "m.txt")}
        assert got == {"bare": text, "double": f"<{text}>", "single": f"<{text}>", "m.txt": text}


def test_a_missing_date_is_named(workspace: Workspace, new_run: NewRun) -> None:
    step = command_step(inputs={"month": "${{airflow.data_interval_start}}"})
    with pytest.raises(ParameterError, match="step train, input month: this run has no data_interval_start"):
        begin(workspace, step, new_run("r1", fields={"data_interval_start": None}), 0)


def test_an_input_that_changes_while_the_step_runs_is_not_kept(tmp_path: Path, new_run: NewRun) -> None:
    workspace = make_workspace(tmp_path)
    (tmp_path / "landing" / "a.txt").write_text("1")
    inputs = {"raw": {"path": "azureml://datastores/landing/paths/"}}
    step = command_step(command="echo 2 > ${{inputs.raw}}/a.txt; echo hi > ${{outputs.model}}/m.txt", inputs=inputs)
    said: list[str] = []
    ticket = begin(workspace, step, new_run("r1"), 0)
    assert isinstance(ticket, Ticket)
    status, _ = asyncio.run(watch(workspace.compute(), ticket.handle, Polling(0.05)))
    assert status is not None
    finish(workspace, step, new_run("r1"), ticket, status, said.append)
    assert any("input raw changed while the step ran" in text for text in said)
    assert run_step(workspace, step, new_run("r2")).decision == "ran"


def test_missing_data_is_named(workspace: Workspace, new_run: NewRun) -> None:
    step = command_step(inputs={"raw": {"path": "azureml://datastores/landing/paths/nothing"}})
    with pytest.raises(DataError, match="step train, input raw: there is no data at azureml://datastores/landing"):
        begin(workspace, step, new_run("r1"), 0)


def test_metrics_are_kept_and_replayed(workspace: Workspace, new_run: NewRun) -> None:
    line = '{"name": "auc", "value": 0.75}'
    step = command_step(command=f"echo '{line}' > $MLPIPE_METRICS_FILE; echo hi > ${{{{outputs.model}}}}/m.txt")
    first = run_step(workspace, step, new_run("r1"))
    second = run_step(workspace, step, new_run("r2"))
    assert [(item["name"], item["value"]) for item in first.metrics] == [("auc", 0.75)]
    assert second.metrics == first.metrics


def test_abandon_ends_the_job_of_its_own_try_only(tmp_path: Path, new_run: NewRun) -> None:
    workspace = make_workspace(tmp_path, target="local")
    step, run = command_step(command="sleep 30 & sleep 30"), new_run("r1")
    ticket = begin(workspace, step, run, 0)
    assert isinstance(ticket, Ticket)
    abandon(workspace, step, run, ticket)
    [status] = asyncio.run(workspace.compute().status([ticket.handle]))
    assert status.state is JobState.CANCELLED
    successor = begin(workspace, step, run, 0)
    assert isinstance(successor, Ticket)
    assert successor.handle.key != ticket.handle.key
    abandon(workspace, step, run, ticket)
    [status] = asyncio.run(workspace.compute().status([successor.handle]))
    assert not status.state.is_terminal
    abandon(workspace, step, run, successor)


def test_a_clear_while_running_ends_the_old_job_and_starts_another(tmp_path: Path, new_run: NewRun) -> None:
    workspace = make_workspace(tmp_path, target="local")
    step, run = command_step(command="sleep 30"), new_run("r1")
    old = begin(workspace, step, run, 2)
    new = begin(workspace, step, run, 4)
    assert isinstance(old, Ticket)
    assert isinstance(new, Ticket)
    states = asyncio.run(workspace.compute().status([old.handle, new.handle]))
    assert states[0].state is JobState.CANCELLED
    assert not states[1].state.is_terminal
    abandon(workspace, step, run, new)
