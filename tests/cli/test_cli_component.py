"""``mlpipe component`` and pipelines that name registered components."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.spec import load_pipeline

COMPONENT = """
name: greet
type: command
description: Greets.
inputs: {who: {type: string, default: you}}
outputs: {note: {type: uri_folder}}
code: ./src
command: sh greet.sh ${{inputs.who}} ${{outputs.note}}
"""
PIPELINE = """
type: pipeline
name: hello
jobs:
  greet: {type: command, component: azureml:greet@latest, inputs: {who: me}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "parts/src").mkdir(parents=True)
    (tmp_path / "parts/greet.yml").write_text(COMPONENT)
    (tmp_path / "parts/src/greet.sh").write_text('echo "hello $1" > "$2/note.txt"\n')
    (tmp_path / "work").mkdir()
    (tmp_path / "work/pipeline.yml").write_text(PIPELINE)
    stores = "datastores: {workspaceblobstore: {type: local, path: store}}\n"
    (tmp_path / "workspace.yml").write_text(stores + "compute: {local: {type: inline}}\n")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_register_get_and_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "pipeline.yml"]) == 2
    assert "'mlpipe component get greet@latest' in this folder lays it down" in capsys.readouterr().err

    assert main(["component", "register", "../parts/greet.yml"]) == 0
    assert main(["component", "register", "../parts/greet.yml"]) == 0
    assert capsys.readouterr().out == "greet:1 registered\ngreet:1 is there already\n"
    assert main(["component", "get", "greet@latest"]) == 0
    assert main(["run", "pipeline.yml", "--json"]) == 0
    [step] = json.loads(capsys.readouterr().out.split("\n", 1)[1])["steps"].values()
    assert step["decision"] == "ran"

    (project / "parts/src/greet.sh").write_text('echo "bye $1" > "$2/note.txt"\n')
    assert main(["component", "register", "../parts/greet.yml"]) == 0
    assert load_pipeline("pipeline.yml").steps[0].code == "./registered/greet/1/src"
    assert main(["component", "get", "greet@latest"]) == 0
    spec = load_pipeline("pipeline.yml")
    assert spec.steps[0].code == "./registered/greet/2/src"
    assert spec.step_options["greet"].documentation == "Greets.\n\nComponent greet, version 2 (azureml:greet@latest)."


def test_list(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["component", "list"]) == 0
    assert "No component is registered yet" in capsys.readouterr().out
    main(["component", "register", str(project / "parts/greet.yml")])
    capsys.readouterr()
    assert main(["component", "list", "greet"]) == 0
    assert "greet      1        command" in capsys.readouterr().out


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "greet"], "'greet' is no component. Write name:version or name@latest."),
        (["get", "greet:4"], "has no component 'greet:4'. Versions of 'greet': none."),
        (["get"], "Say what to get"),
        (["list", "gret"], "There is no component 'gret'. There is: none."),
        (["register", "../parts/gone.yml"], "MLP001"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["component", *words]) == 2
    assert said in capsys.readouterr().err
