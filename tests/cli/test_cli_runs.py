"""``mlpipe run`` and its company, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mlpipe.cli.main import main

PIPELINE = """
type: pipeline
name: demo
inputs:
  lr: {type: number, default: 0.1, min: 0, max: 1}
  month: {type: string, default: "${{airflow.ds}}"}
jobs:
  prepare:
    type: command
    command: cp ${{inputs.raw}}/a.txt ${{outputs.out}}/a.txt
    inputs: {raw: {type: uri_folder, path: ./data}}
    outputs: {out: {type: uri_folder}}
  train:
    type: command
    code: ./src
    command: sh train.sh ${{inputs.lr}} ${{inputs.month}} ${{inputs.data}} ${{outputs.model}}
    inputs:
      data: ${{parent.jobs.prepare.outputs.out}}
      lr: ${{parent.inputs.lr}}
      month: ${{parent.inputs.month}}
    outputs: {model: {type: custom_model, name: demo-model}}
"""
TRAIN = """# trees=100
echo "trained with $1 on $2"
cat "$3/a.txt" > "$4/model.txt"
echo "$1 $2" >> "$4/model.txt"
echo '{"name": "auc", "value": 0.75}' >> "$MLPIPE_METRICS_FILE"
"""


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A two-step pipeline with a workspace of its own."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("raw")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.sh").write_text(TRAIN)
    (tmp_path / "workspace.yml").write_text("name: test\n")
    (tmp_path / "pipeline.yml").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "pipeline.yml"


def test_a_second_run_reuses_every_step(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(pipeline), "--date", "2013-02-01"]) == 0
    first = capsys.readouterr().out
    assert "trained with 0.1 on 2013-02-01" in first
    assert "2 ran, 0 reused" in first
    assert main(["run", str(pipeline), "--date", "2013-02-01"]) == 0
    second = capsys.readouterr().out
    assert "0 ran, 2 reused" in second
    assert "demo-model:1" in second


def test_plan_says_why_and_changes_nothing(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", str(pipeline), "--date", "2013-02", "--quiet"])
    capsys.readouterr()
    assert main(["plan", str(pipeline), "--date", "2013-02", "--param", "lr=0.2", "--json"]) == 0
    [prepare, train] = json.loads(capsys.readouterr().out)
    assert prepare["decision"] == "reuse"
    assert (train["decision"], train["why"]) == ("run", "input lr: 0.1 -> 0.2")
    assert main(["plan", str(pipeline), "--date", "2013-02"]) == 0
    assert "2 reused" in capsys.readouterr().out


def test_a_changed_comment_runs_the_step_and_touching_data_does_not(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run", str(pipeline), "--quiet"])
    (pipeline.parent / "src" / "train.sh").write_text(TRAIN.replace("=100", "=200"))
    (pipeline.parent / "data" / "a.txt").touch()
    capsys.readouterr()
    assert main(["plan", str(pipeline)]) == 0
    out = capsys.readouterr().out
    assert "source changed: train.sh (line 1: # trees=100 -> # trees=200)" in out
    assert "1 reused" in out


def test_explain_runs_and_models(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", str(pipeline), "--quiet"])
    main(["run", str(pipeline), "--quiet", "--param", "lr=0.2"])
    capsys.readouterr()
    assert main(["explain", "demo", "latest", "train"]) == 0
    assert "train ran because: input lr: 0.1 -> 0.2." in capsys.readouterr().out
    assert main(["explain", "demo", "latest", "--json"]) == 0
    assert [item["step"] for item in json.loads(capsys.readouterr().out)] == ["prepare", "train"]
    assert main(["models", "demo-model", "--json"]) == 0
    assert [item["version"] for item in json.loads(capsys.readouterr().out)] == [1, 2]
    assert main(["runs", "demo"]) == 0
    assert "1 ran, 1 reused" in capsys.readouterr().out


def test_a_failing_step_shows_its_own_words_and_exits_1(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pipeline.parent / "src" / "train.sh").write_text("echo the disk is green >&2\nexit 4\n")
    assert main(["run", str(pipeline)]) == 1
    text = capsys.readouterr().out
    assert "Step train failed with exit code 4." in text
    assert "the disk is green" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--param", "lrr=1"], "The pipeline has no input 'lrr'. It has: lr, month. Did you mean 'lr'?"),
        (["--param", "lr=fast"], "--param lr=fast: 'fast' is not a value of type number."),
        (["--param", "lr=7"], "--param lr=7:"),
        (["--param", "lr"], "Write --param NAME=VALUE."),
        (["--date", "soon"], "--date 'soon' is no date."),
        (["--date", "2013-02-31"], "--date '2013-02-31' is no date of the calendar."),
        (
            ["--reuse-step", "trian=force"],
            "The pipeline has no step 'trian'. It has: prepare, train. Did you mean 'train'?",
        ),
        (["--reuse-step", "train=maybe"], "'maybe' is no mode. Allowed: auto, force, disable."),
        (["--workspace", "nowhere.yml"], "The workspace file nowhere.yml cannot be read: No such file or directory."),
    ],
)
def test_mistakes_are_named(words: list[str], message: str, pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(pipeline), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datastore: {}", "unknown key 'datastore'. Did you mean 'datastores'?"),
        ("compute: {local: {type: lokal}}", "Did you mean 'local'?"),
        ("default_compute: gpu", "has no compute target 'gpu'. It has: local."),
        ("- a", "must hold keys and values"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_a_bad_workspace_is_named(text: str, message: str, pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pipeline.parent / "workspace.yml").write_text(text)
    assert main(["run", str(pipeline)]) == 2
    assert message in capsys.readouterr().err


def test_a_data_input_of_the_pipeline_may_be_given_another_address(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PIPELINE.replace("inputs:\n", "inputs:\n  raw: {type: uri_folder, path: ./data}\n", 1)
    pipeline.write_text(text.replace("{raw: {type: uri_folder, path: ./data}}", '{raw: "${{parent.inputs.raw}}"}'))
    other = pipeline.parent / "other"
    other.mkdir()
    (other / "a.txt").write_text("other")
    assert main(["run", str(pipeline), "--date", "2013-02-01"]) == 0
    assert "2 ran, 0 reused" in capsys.readouterr().out
    assert main(["run", str(pipeline), "--date", "2013-02-01", "--param", "raw=./other"]) == 0
    assert "2 ran, 0 reused" in capsys.readouterr().out
    (other / "a.txt").write_text("raw")
    assert main(["run", str(pipeline), "--date", "2013-02-01", "--param", "raw=./other"]) == 0
    assert "0 ran, 2 reused" in capsys.readouterr().out
    assert main(["run", str(pipeline), "--param", "raw=./absent"]) == 1
    assert "there is no data at ./absent" in capsys.readouterr().out
    assert main(["run", str(pipeline), "--param", "raw=${{parent.jobs.train.outputs.model}}"]) == 2
    assert "is data: it must stand alone" in capsys.readouterr().err
    assert main(["run", str(pipeline), "--param", "rawr=x"]) == 2
    assert "Did you mean 'raw'?" in capsys.readouterr().err
