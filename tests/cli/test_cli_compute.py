"""``mlpipe compute`` and ``mlpipe sweep``, as a user calls them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.compute.base import JobHandle
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.workspace import Workspace, load_workspace

WORKSPACE = """
name: here
default_compute: near
compute:
  near: {type: local, workdir: jobs}
  odd: {type: local}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "workspace.yml").write_text(WORKSPACE)
    monkeypatch.chdir(tmp_path)
    return load_workspace(tmp_path / "workspace.yml")


def test_a_list_names_every_target_and_what_is_wrong_with_it(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compute", "list", "--json"]) == 0
    near, odd = json.loads(capsys.readouterr().out)
    assert (near["name"], near["type"], near["default"], near["problem"]) == ("near", "local", "default", "")
    assert near["where"].endswith("/jobs")
    assert "workdir is missing" in odd["problem"]
    assert main(["compute", "list"]) == 0
    assert "workdir is missing" in capsys.readouterr().out


def test_a_check_runs_a_job_and_leaves_nothing_behind(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compute", "check", "near", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert found["python"] == sys.version.split()[0]
    assert abs(found["clock_seconds"]) <= found["clock_error"] + 0.1
    assert found["total_seconds"] >= 1
    assert found["capabilities"]["shares_files"] is True
    assert list((workspace.folder / "jobs").glob("mlp-*")) == []
    assert main(["compute", "check"]) == 0
    out = capsys.readouterr().out
    assert "near: a job of one second ended well." in out
    assert "gives none" in out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["check", "ner"], 2, "no compute target 'ner'. It has: near, odd. Did you mean 'near'?"),
        (["check", "odd"], 2, "workdir is missing"),
        (["list", "near"], 2, "takes no name"),
    ],
)
def test_mistakes(
    words: list[str], code: int, text: str, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compute", *words]) == code
    assert text in capsys.readouterr().err


def test_a_target_that_cannot_be_used_is_exit_code_one(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.folder / "jobs").write_text("a file where the folder should be")
    assert main(["compute", "check", "near"]) == 1
    assert "cannot be prepared" in capsys.readouterr().err
    assert main(["compute", "check", "near", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


@pytest.fixture
def running(workspace: Workspace) -> Any:
    ticket = begin(workspace, Step(name="a", command="sleep 60"), RunInfo("demo", "r1", {}, {}, workspace.folder), 0)
    assert isinstance(ticket, Ticket)
    yield ticket
    asyncio.run(workspace.compute().cancel(JobHandle("near", ticket.handle.key, ticket.handle.key), grace=0))


def test_a_sweep_leaves_a_run_alone_until_it_is_named(running: Ticket, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--grace", "0"]) == 0
    assert capsys.readouterr().out == "No job is without an owner.\n"
    assert main(["sweep", "--run", "demo/r2"]) == 2
    assert "there is no such run in workspace 'here'. The latest runs of demo: r1." in capsys.readouterr().err
    assert main(["sweep", "--dry-run", "--run", "demo/r1"]) == 0
    assert "would cancel" in capsys.readouterr().out
    assert main(["sweep", "--grace", "0", "--run", "demo/r1", "--json"]) == 0
    [swept] = json.loads(capsys.readouterr().out)
    assert (swept["outcome"], swept["key"], swept["why"]) == ("cancelled", running.handle.key, "its task is over")


def test_the_commands_start_without_airflow(workspace: Workspace) -> None:
    words = (
        "import sys; from airflow_mlpipe.cli.main import main; main(['compute', 'list']); main(['sweep', '--dry-run'])"
    )
    code = f"{words}; sys.exit('airflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=workspace.folder).returncode == 0
