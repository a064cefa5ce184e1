"""A job that cannot be run yet keeps a run from starting: nothing is computed before anyone is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.planner import plan
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.workspace import workspace_from_mapping

PIPELINE = """\
type: pipeline
jobs:
  prepare:
    {command: "touch %s && echo > ${{outputs.o}}/x", outputs: {o: {}}}
  search:
    type: %s
    inputs: {data: "${{parent.jobs.prepare.outputs.o}}"}
"""
KINDS = ("sweep", "automl", "spark", "import")


@pytest.fixture(params=KINDS)
def kind(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def file(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yml").write_text(PIPELINE % (tmp_path / "ran", kind))
    return tmp_path / "p.yml"


def test_it_is_written_with_a_warning(file: Path, kind: str) -> None:
    spec = load_pipeline(file)
    assert [(step.name, step.type, step.upstream) for step in spec.steps] == [
        ("prepare", "command", ()),
        ("search", kind, ("prepare",)),
    ]
    [warning] = spec.warnings
    assert (warning.code, warning.path, warning.line) == ("MLP208", "jobs.search.type", 6)
    assert "cannot be run yet" in warning.message


def test_a_run_is_refused_before_anything_is_done(
    file: Path, kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["run", "p.yml"]) == 2
    said = capsys.readouterr().err
    assert f"Step search is a job of type '{kind}', which cannot be run yet" in said
    assert "Traceback" not in said
    assert not (tmp_path / "ran").exists()


def test_the_plan_and_the_step_itself_refuse_it(file: Path, tmp_path: Path) -> None:
    stores = {"store": {"type": "memory"}}
    workspace = workspace_from_mapping({"default_datastore": "store", "datastores": stores}, tmp_path)
    steps = load_pipeline(file).steps
    run = RunInfo(pipeline="p", run_id="r", parameters={}, fields={}, base=tmp_path)
    with pytest.raises(ConfigError, match="Step search is a job of type"):
        plan(workspace, steps, run)
    with pytest.raises(ConfigError, match="Step search is a job of type"):
        begin(workspace, steps[1], run, 0)
