"""``mlpipe validate`` and ``mlpipe schema``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mlpipe.cli.main import main

GOOD = "type: pipeline\njobs:\n  hello: {type: command, command: echo hello}\n"
BAD = "type: pipeline\njobs:\n  hello: {type: command, command: echo, pol: x}\n  there: {type: command}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep/.hidden").mkdir(parents=True)
    (tmp_path / "deep/good.yaml").write_text(GOOD)
    (tmp_path / "deep/.hidden/bad.yml").write_text(BAD)
    (tmp_path / "component.yml").write_text("type: command\ncommand: echo\n")
    (tmp_path / "workspace.yml").write_text("name: local\n")
    (tmp_path / "part.yml").write_text("$schema: https://x/pipelineComponent.schema.json\ntype: pipeline\n")
    return tmp_path


def test_good_files_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(folder)]) == 0
    assert capsys.readouterr().out == "1 pipeline with 1 step, no errors.\n"


def test_all_faults_of_all_files_with_their_places(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.yml", "b.yml"):
        (folder / name).write_text(BAD)
    assert main(["validate", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith(f"{folder}/a.yml:3:")
    assert [line for line in lines if line.startswith(f"{folder}/b.yml:3:") and "unknown key" in line]
    assert lines[-1] == f"{len(lines) - 1} errors, nothing written."


def test_a_broken_pipeline_in_a_folder_is_not_skipped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.yml").write_text("type: pipeline\njobs: [\n")
    assert main(["validate", str(folder)]) == 2
    assert "broken.yml:" in capsys.readouterr().err


def test_warnings_are_shown_and_are_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.yml").write_text(GOOD + "experiment_name: x\n")
    assert main(["validate", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "warning MLP2" in err
    assert out == "1 pipeline with 1 step, no errors, 1 warning.\n"


def test_faults_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "faults": []}
    (folder / "bad.yml").write_text(BAD)
    assert main(["validate", str(folder / "bad.yml"), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert {fault["line"] for fault in found["faults"]} == {3, 4}


@pytest.mark.parametrize(("name", "reason"), [("nothing.yml", "no such file or folder"), ("deep/.hidden", "")])
def test_a_path_that_is_not_there(folder: Path, name: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(folder / name)]) == 2
    assert reason in capsys.readouterr().err


def test_a_folder_without_a_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(tmp_path)]) == 2
    assert "no pipeline is in this folder" in capsys.readouterr().err


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert "jobs" in json.loads(capsys.readouterr().out)["properties"]
