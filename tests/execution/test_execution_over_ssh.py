"""A step's life on a machine that sees none of our files: data goes there, outputs come back, records are the same."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_mlpipe.compute.ssh.host import close_hosts
from airflow_mlpipe.errors import OutputMissingError, StepFailedError, TransientComputeError
from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.planner import plan
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.frozen import checked, replaced
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.testing.sshd import SSHServer
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace, WorkspaceConfig
from tests.execution.conftest import command_step, make_workspace

NewRun = Callable[..., RunInfo]
SCRIPT = """\
find "$1" -type f | sort | xargs -d '\\n' cat > "$2/m.txt"
echo made > "$3"
"""


@pytest.fixture(params=["local", "azurite"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path, sshd: SSHServer) -> Iterator[Workspace]:
    """A workspace with the targets ``local``, inline, and ``box``, over SSH, where the same software is installed."""
    azurite = request.getfixturevalue("azurite") if request.param == "azurite" else None
    plain = make_workspace(tmp_path, request.param, azurite=azurite)
    box = {"type": "ssh", **sshd.settings, "workdir": str(tmp_path / "far"), "python": sys.executable}
    config: WorkspaceConfig = replaced(plain.config, compute={**plain.config.compute, "box": box})
    (tmp_path / "landing" / "raw" / "sub").mkdir(parents=True)
    (tmp_path / "landing" / "raw" / "a.csv").write_text("1,2\n")
    (tmp_path / "landing" / "raw" / "sub" / "b c.csv").write_text("3,4\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "step.sh").write_text(
        'find "$1" -type f | sort | xargs -d "\\n" cat > "$2/m.txt"\necho made > "$3"\n'
    )
    yield Workspace(config, tmp_path)
    close_hosts()


def far_step(compute: str | None = "box", **more: object) -> Step:
    return command_step(
        command="sh step.sh ${{inputs.raw}} ${{outputs.model}} ${{outputs.note}}; echo seen ${{inputs.raw}}",
        code="src",
        compute=compute,
        inputs={"raw": {"path": "azureml://datastores/landing/paths/raw"}},
        outputs={"model": {"type": "custom_model"}, "note": {"type": "uri_file"}},
        **more,
    )


def ended(workspace: Workspace, ticket: Ticket, lines: list[str]) -> object:
    target = workspace.compute(ticket.handle.target)
    status, _ = asyncio.run(watch(target, ticket.handle, Polling(0.05, ticket.deadline), lines.append))
    assert status is not None
    return status


def run_step(workspace: Workspace, step: Step, run: RunInfo, lines: list[str]) -> StepRecord:
    begun = begin(workspace, step, run, 0)
    if isinstance(begun, StepRecord):
        return begun
    assert isinstance(begun, Ticket)
    return finish(workspace, step, run, begun, ended(workspace, begun, lines))  # type: ignore[arg-type]


def test_a_step_there_leaves_the_same_as_one_here_and_is_reused_here(
    workspace: Workspace, new_run: NewRun, tmp_path: Path
) -> None:
    lines: list[str] = []
    there = run_step(workspace, far_step(), new_run("r1"), lines)
    assert there.decision == "ran"
    assert any(line == f"seen {tmp_path}/far/{_key(workspace)}/inputs/raw" for line in lines), lines
    here = run_step(workspace, far_step("local"), new_run("r2"), [])
    assert here.decision == "reused"
    forced = run_step(workspace, far_step("local"), new_run("r3", reuse="force"), [])
    assert forced.decision == "ran"
    assert {p: r.content for p, r in forced.outputs.items()} == {p: r.content for p, r in there.outputs.items()}
    fetched = tmp_path / "fetched"
    workspace.datastore().download(there.outputs["model"].path, fetched)
    assert (fetched / "m.txt").read_text() == "1,2\n3,4\n"
    assert there.log == f"{workspace.config.compute['box']['user']}@127.0.0.1:" + (
        f"{workspace.config.compute['box']['port']}:{tmp_path}/far/{_key(workspace)}/log.txt"
    )


def test_the_software_of_the_host_counts_and_not_ours(tmp_path: Path, sshd: SSHServer, new_run: NewRun) -> None:
    plain = make_workspace(tmp_path, "local")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    box = {"type": "ssh", **sshd.settings, "workdir": str(tmp_path / "far"), "python": str(python)}
    config: WorkspaceConfig = replaced(plain.config, compute={"box": box})
    step = command_step(command="echo x > ${{outputs.model}}/x", compute="box")

    def again(run_id: str) -> StepRecord:
        try:
            return run_step(Workspace(config, tmp_path), step, new_run(run_id), [])
        finally:
            close_hosts()

    assert [again("r1").decision, again("r2").decision] == ["ran", "reused"]
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    (site / "tool-1.0.dist-info").mkdir()
    third = again("r3")
    assert third.decision == "ran"
    assert "tool" in third.reason
    away = replaced(plain.config, compute={"box": {**box, "port": 1}})
    (planned,) = plan(Workspace(away, tmp_path), [step], new_run("r4"))
    assert planned.decision == "later"
    assert "127.0.0.1" in planned.reason
    close_hosts()


def _key(workspace: Workspace) -> str:
    return workspace.runs.jobs("demo", "r1", "train")[-1].key


def test_a_worker_that_dies_while_it_collects_is_followed_by_one_that_goes_on(
    workspace: Workspace, new_run: NewRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step, run = far_step(), new_run("r1")
    ticket = begin(workspace, step, run, 0)
    assert isinstance(ticket, Ticket)
    status = ended(workspace, ticket, [])

    async def broken(*_: object) -> None:
        raise TransientComputeError("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(type(workspace.compute("box")), "collect", broken)
        with pytest.raises(TransientComputeError):
            finish(workspace, step, run, ticket, status)  # type: ignore[arg-type]
    again = begin(workspace, step, run, 0)
    assert isinstance(again, Ticket)
    assert again.handle == ticket.handle
    record = finish(workspace, step, run, again, ended(workspace, again, []))  # type: ignore[arg-type]
    assert record.decision == "ran"
    starts = (tmp_path / "far" / "submissions.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in starts] == [ticket.handle.key]


def test_failures_there_say_what_failures_here_say(workspace: Workspace, new_run: NewRun) -> None:
    step = command_step(command="echo no such column; exit 3", compute="box")
    with pytest.raises(StepFailedError, match=r"exit code 3(.|\n)*no such column(.|\n)*127\.0\.0\.1"):
        run_step(workspace, step, new_run("r1"), [])
    with pytest.raises(OutputMissingError, match="wrote nothing to its output 'model'"):
        run_step(workspace, command_step(command="true", compute="box"), new_run("r2"), [])


def test_a_parallel_step_runs_there_too(workspace: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    (tmp_path / "src" / "score.py").write_text(
        "def run(files):\n    return [open(name).read().strip() for name in files]\n"
    )
    step = checked(
        Step,
        {
            "name": "score",
            "type": "parallel",
            "compute": "box",
            "code": "src",
            "parallel": {"entry_script": "score.py", "input": "raw", "append_row_to": "rows", "mini_batch_size": 1},
            "inputs": {"raw": {"path": "azureml://datastores/landing/paths/raw"}},
            "outputs": {"rows": {"type": "uri_file"}},
        },
    )
    record = run_step(workspace, step, new_run("r1"), [])
    workspace.datastore().download(record.outputs["rows"].path, tmp_path / "rows")
    assert (tmp_path / "rows").read_text() == "1,2\n3,4\n"
