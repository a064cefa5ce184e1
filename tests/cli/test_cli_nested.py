"""Pipelines inside a pipeline, run, planned and explained by the names that Airflow shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.cli.main import main

NESTED = Path(__file__).parents[1] / "generator/pipelines/nested"
STEPS = ["east_model.clean", "east_model.fit.train", "west_model.clean", "west_model.fit.train", "compare"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(NESTED, tmp_path / "project")
    for region in ("east", "west"):
        (tmp_path / "project/landing" / region).mkdir(parents=True)
        (tmp_path / "project/landing" / region / "rows.txt").write_text("same rows\n\n")
    workspace = (
        "datastores:\n  workspaceblobstore: {type: local, path: store}\n  landing: {type: local, path: landing}\n"
    )
    targets = "compute: {local: {type: inline}, gpu-box: {type: inline}}\n"
    (tmp_path / "project/workspace.yml").write_text(workspace + targets)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code = main(["run", *words, "--json"])
    said = capsys.readouterr()
    assert code == 0, said
    steps: dict[str, Any] = json.loads(said.out)["steps"]
    return steps


@pytest.mark.usefixtures("project")
def test_steps_have_the_names_of_their_groups_and_equal_ones_are_computed_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = run(capsys, "pipeline.yml")
    assert sorted(steps) == sorted(STEPS)
    clean = {name: record["decision"] for name, record in steps.items() if name.endswith("clean")}
    assert clean == {"east_model.clean": "ran", "west_model.clean": "reused"}
    assert steps["east_model.fit.train"]["registered"] == {"model": "east-model:1"}
    again = run(capsys, "pipeline.yml")
    assert {record["decision"] for record in again.values()} == {"reused"}


def test_a_step_is_reused_whatever_pipeline_it_stands_in(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "pipeline.yml")
    flat = (project / "components/region.yml").read_text().replace("name: region", "name: alone")
    text = "\n".join(line for line in flat.splitlines() if "version:" not in line)
    text = text.replace("raw: {type: uri_folder}\n", "raw: {type: uri_folder, path: ./landing/east}\n")
    (project / "components/alone.yml").write_text(text)
    (project / "components/landing").symlink_to(project / "landing")
    steps = run(capsys, "components/alone.yml", "--param", "rounds=3")
    assert steps["clean"]["decision"] == "reused"
    assert steps["clean"]["origin"]["pipeline"] == "nested"


@pytest.mark.usefixtures("project")
def test_plan_and_explain_speak_of_qualified_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "pipeline.yml"]) == 0
    planned = capsys.readouterr().out
    assert [line.split()[0] for line in planned.splitlines()[1:6]] == STEPS
    run(capsys, "pipeline.yml")
    assert main(["explain", "nested", "latest", "west_model.fit.train"]) == 0
    assert capsys.readouterr().out.startswith("west_model.fit.train ran because: ")
    assert main(["run", "pipeline.yml", "--reuse-step", "east_model.clean=force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"]["east_model.clean"]["decision"] == "ran"
