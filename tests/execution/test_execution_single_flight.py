"""Two runs that need the same step at the same time compute it once; whoever dies, nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.errors import StepFailedError
from airflow_mlpipe.execution.events import Event
from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import abandon, begin
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.run_pipeline import run_pipeline
from airflow_mlpipe.execution.turns import Turn, Waiting, await_turn
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.frozen import checked, replaced
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

ROOT = Path(__file__).resolve().parents[2]
SLOW = "sleep 1; echo $MLPIPE_JOB_KEY > ${{outputs.o}}/who"


def open_workspace(folder: Path, grace: float = 30.0, max_wait: float | None = None) -> Workspace:
    settings = {
        "datastores": {"workspaceblobstore": {"type": "local", "path": "store"}},
        "compute": {"local": {"type": "local", "workdir": "jobs"}},
        "single_flight": {"grace": grace, "max_wait": max_wait},
    }
    return workspace_from_mapping(settings, folder)


def make_step(command: str = SLOW, **more: Any) -> Step:
    return checked(Step, {"name": "s", "command": command, "outputs": {"o": {}}, **more})


def make_run(run_id: str, folder: Path, **more: Any) -> RunInfo:
    return RunInfo("demo", run_id, {}, {}, folder, **more)


def follow(workspace: Workspace, step: Step, run: RunInfo, ticket: Ticket) -> StepRecord:
    target = workspace.compute(ticket.handle.target)
    status, _ = asyncio.run(watch(target, ticket.handle, Polling(0.05)))
    assert status is not None
    return finish(workspace, step, run, ticket, status)


def live(workspace: Workspace, step: Step, run: RunInfo, say: Callable[[str], None] = print) -> StepRecord:
    turn: Turn | None = None
    while isinstance(begun := begin(workspace, step, run, 0, say, turn), Waiting):
        turn = asyncio.run(await_turn(workspace, begun, 0.1))
        assert turn is not None
        say(f"turn: {turn.why}")
    return begun if isinstance(begun, StepRecord) else follow(workspace, step, run, begun)


def jobs(folder: Path) -> int:
    return len((folder / "jobs" / "submissions.jsonl").read_text().splitlines())


HOLDER = """
import os, signal, sys
from tests.execution.test_execution_single_flight import *
folder, what = Path(sys.argv[1]), sys.argv[2]
workspace, step, run = open_workspace(folder, grace=1.0), make_step(), make_run("holder", folder)
if what == "between":
    from airflow_mlpipe.execution.flight import take_flight
    key = sys.argv[3]
    assert not isinstance(take_flight(workspace, key, run, step), Waiting)
elif what == "running":
    begin(workspace, step, run, 0)
elif what == "paused":
    def pause(text):
        if text.startswith("run:"):
            print("held", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
    print(begin(workspace, checked(Step, json.loads(sys.argv[3])), run, 0, pause).decision, flush=True)
    sys.exit()
print("held", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start another process that holds the flight; end it, whatever happens."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(tmp_path), *words]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_two_runs_at_the_same_time_compute_once(tmp_path: Path) -> None:
    said: list[str] = []
    done: list[StepRecord] = []

    def one(run_id: str) -> None:
        done.append(live(open_workspace(tmp_path), make_step(), make_run(run_id, tmp_path), said.append))

    threads = [threading.Thread(target=one, args=(f"r{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.decision for record in done) == ["ran", "reused"]
    assert done[0].outputs == done[1].outputs
    assert jobs(tmp_path) == 1
    [first] = [record.run_id for record in done if record.decision == "ran"]
    assert f"waiting for run {first} of demo (step s), which computes the same step" in said


def test_two_runs_of_a_pipeline_without_airflow_share_a_step(tmp_path: Path) -> None:
    events: dict[str, list[Event]] = {"a": [], "b": []}

    def one(run_id: str) -> None:
        outcome = run_pipeline(
            open_workspace(tmp_path), [make_step()], make_run(run_id, tmp_path), events[run_id].append
        )
        assert outcome.succeeded

    threads = [threading.Thread(target=one, args=(name,)) for name in events]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(items[-1].state for items in events.values()) == ["ran", "reused"]
    assert jobs(tmp_path) == 1


def test_equal_steps_of_one_run_compute_once(tmp_path: Path) -> None:
    steps = [make_step(), replaced(make_step(), name="twin")]
    outcome = run_pipeline(open_workspace(tmp_path), steps, make_run("r", tmp_path), lambda event: None)
    assert sorted(record.decision for record in outcome.records.values()) == ["ran", "reused"]
    assert jobs(tmp_path) == 1


@pytest.mark.parametrize("mode", ["flight", "race"])
def test_twenty_processes_on_one_key_make_one_entry_in_25_rounds(mode: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.soak_single_flight", "--processes", "20", "--rounds", "25"]
    done = subprocess.run(
        [*command, "--mode", mode, "--folder", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["computed"], result["entries"], result["mixed"], result["missing"]) == (25, 25, 0, 0)


def test_a_holder_killed_before_it_submits_is_taken_over(tmp_path: Path, holder: Any) -> None:
    workspace, step = open_workspace(tmp_path, grace=0.3), make_step("echo x > ${{outputs.o}}/who")
    run = make_run("waiter", tmp_path)
    key = live(workspace, step, make_run("first", tmp_path, reuse="disable")).key
    assert key is not None
    assert holder("between", key).wait() == -signal.SIGKILL
    said: list[str] = []
    assert live(workspace, step, run, said.append).decision == "ran"
    assert "turn: it gives no sign of life" in said
    assert live(workspace, step, make_run("later", tmp_path)).decision == "reused"


def test_the_job_of_a_killed_holder_is_waited_for_and_then_done_again(tmp_path: Path, holder: Any) -> None:
    assert holder("running").wait() == -signal.SIGKILL
    workspace, step = open_workspace(tmp_path, grace=0.2), make_step()
    said: list[str] = []
    begun = begin(workspace, step, make_run("waiter", tmp_path), 0, said.append)
    assert isinstance(begun, Waiting)
    assert jobs(tmp_path) == 1
    assert live(workspace, step, make_run("waiter", tmp_path), said.append).decision == "ran"
    assert "turn: it gives no sign of life" in said
    assert jobs(tmp_path) == 2


def test_the_retry_of_a_killed_holder_adopts_its_job_and_serves_the_waiter(tmp_path: Path, holder: Any) -> None:
    assert holder("running").wait() == -signal.SIGKILL
    step = make_step()
    retry = threading.Thread(target=live, args=(open_workspace(tmp_path), step, make_run("holder", tmp_path)))
    retry.start()
    assert live(open_workspace(tmp_path), step, make_run("waiter", tmp_path)).decision == "reused"
    retry.join()
    assert jobs(tmp_path) == 1


def test_a_paused_holder_is_taken_over_and_changes_nothing_when_it_wakes_up(tmp_path: Path, holder: Any) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("a")
    fields = {"name": "s", "type": "data_transfer", "inputs": {"i": {"path": "in"}}, "outputs": {"o": {}}}
    step = checked(Step, fields)
    paused = holder("paused", json.dumps(fields))
    workspace, said = open_workspace(tmp_path, grace=0.3), list[str]()
    done = live(workspace, step, make_run("waiter", tmp_path), said.append)
    assert "turn: it gives no sign of life" in said
    os.kill(paused.pid, signal.SIGCONT)
    assert paused.stdout.read() == "ran\n"
    assert paused.wait() == 0
    assert done.key is not None
    stored = workspace.reuse.stored(done.key)
    assert stored is not None
    assert (stored.run_id, stored.outputs) == ("waiter", done.outputs)
    assert live(open_workspace(tmp_path), step, make_run("later", tmp_path)).outputs == done.outputs


def test_a_living_holder_without_a_job_is_not_taken_over(tmp_path: Path) -> None:
    from airflow_mlpipe.execution.flight import alive, take_flight

    workspace, step = open_workspace(tmp_path, grace=0.2), make_step()
    flight = take_flight(workspace, "k" * 64, make_run("holder", tmp_path), step)
    assert not isinstance(flight, Waiting)
    waiting = take_flight(workspace, "k" * 64, make_run("waiter", tmp_path), step)
    assert isinstance(waiting, Waiting)
    ended = time.monotonic() + 1.0
    with alive(workspace, flight):
        assert asyncio.run(await_turn(workspace, waiting, 0.05, lambda: time.monotonic() > ended)) is None
    turn = asyncio.run(await_turn(workspace, waiting, 0.05))
    assert turn == Turn(flight.nonce, None, "it gives no sign of life")


def test_who_waits_for_a_failing_step_runs_it_once_and_fails_by_itself(tmp_path: Path) -> None:
    step = make_step("sleep 0.5; exit 3")
    workspace = open_workspace(tmp_path)
    ticket = begin(workspace, step, make_run("holder", tmp_path), 0)
    assert isinstance(ticket, Ticket)
    failing = threading.Thread(target=_fail, args=(workspace, step, make_run("holder", tmp_path), ticket))
    failing.start()
    with pytest.raises(StepFailedError, match="exit code 3"):
        live(open_workspace(tmp_path), step, make_run("waiter", tmp_path))
    failing.join()
    assert jobs(tmp_path) == 2


def _fail(workspace: Workspace, step: Step, run: RunInfo, ticket: Ticket) -> None:
    with pytest.raises(StepFailedError):
        follow(workspace, step, run, ticket)


def test_an_abandoned_holder_lets_go_at_once(tmp_path: Path) -> None:
    workspace, step, run = open_workspace(tmp_path), make_step("sleep 60"), make_run("holder", tmp_path)
    ticket = begin(workspace, step, run, 0)
    assert isinstance(ticket, Ticket)
    waiting = begin(workspace, step, make_run("waiter", tmp_path), 0)
    assert isinstance(waiting, Waiting)
    abandon(workspace, step, run, ticket)
    turn = asyncio.run(await_turn(workspace, waiting, 0.05))
    assert turn is not None
    assert turn.why == ""
    again = begin(workspace, step, make_run("waiter", tmp_path), 0, waited=turn)
    assert isinstance(again, Ticket)
    abandon(workspace, step, make_run("waiter", tmp_path), again)


def test_who_stops_waiting_leaves_the_holder_alone(tmp_path: Path) -> None:
    workspace, step, run = open_workspace(tmp_path), make_step(), make_run("holder", tmp_path)
    ticket = begin(workspace, step, run, 0)
    waiting = begin(workspace, step, make_run("waiter", tmp_path), 0)
    assert isinstance(ticket, Ticket)
    assert isinstance(waiting, Waiting)
    assert asyncio.run(await_turn(workspace, waiting, 0.05, lambda: True)) is None
    assert follow(workspace, step, run, ticket).decision == "ran"


@pytest.mark.parametrize("mode", ["force", "disable", "cleared", "not deterministic"])
def test_what_may_not_be_reused_does_not_wait(mode: str, tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    step = make_step("sleep 0.5", outputs={}, is_deterministic=mode != "not deterministic")
    more: dict[str, Any] = {"reuse": mode} if mode in ("force", "disable") else {}
    second = make_run("second", tmp_path, **more)
    if mode == "cleared":
        live(workspace, step, second)
    first = begin(workspace, step, make_run("first", tmp_path, reuse="auto"), 0)
    begun = begin(workspace, step, second, 5)
    assert isinstance(begun, Ticket)
    assert follow(workspace, step, second, begun).decision == "ran"
    if isinstance(first, Ticket):
        follow(workspace, step, make_run("first", tmp_path), first)


def test_a_damaged_job_record_of_the_holder_is_no_fault_of_the_waiter(tmp_path: Path) -> None:
    workspace, step, run = open_workspace(tmp_path, grace=0.3), make_step(), make_run("holder", tmp_path)
    ticket = begin(workspace, step, run, 0)
    assert isinstance(ticket, Ticket)
    [place] = workspace.datastore().keys("mlpipe/jobs/")
    workspace.datastore().replace(place, b"{")
    said: list[str] = []
    assert live(workspace, step, make_run("waiter", tmp_path), said.append).decision == "ran"
    assert "turn: it gives no sign of life" in said


def test_after_the_longest_wait_the_step_runs_all_the_same(tmp_path: Path) -> None:
    workspace, step, run = open_workspace(tmp_path, max_wait=0.2), make_step(), make_run("holder", tmp_path)
    ticket = begin(workspace, step, run, 0)
    assert isinstance(ticket, Ticket)
    said: list[str] = []
    assert live(workspace, step, make_run("waiter", tmp_path), said.append).decision == "ran"
    assert "turn: it takes too long" in said
    assert jobs(tmp_path) == 2
    assert follow(workspace, step, run, ticket).decision == "ran"


def test_a_fault_before_the_job_lets_go_at_once(tmp_path: Path) -> None:
    from airflow_mlpipe.errors import MLPipeError

    workspace = open_workspace(tmp_path)
    step = make_step("cat ${{inputs.nothing}}")
    with pytest.raises(MLPipeError):
        begin(workspace, step, make_run("holder", tmp_path), 0)
    with pytest.raises(MLPipeError):
        begin(workspace, step, make_run("waiter", tmp_path), 0)


def test_waits_and_turns_survive_json() -> None:
    waiting = Waiting("k", "n", {"pipeline": "p", "run_id": "r", "step": "s"}, 3.0, "x")
    turn = Turn("n", None, "it takes too long")
    assert Waiting.from_json(json.loads(json.dumps(waiting.to_json()))) == waiting
    assert Turn.from_json(json.loads(json.dumps(turn.to_json()))) == turn
