"""``mlpipe gc`` and ``mlpipe pin``, as a user calls them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.workspace import load_workspace

PIPELINE = """
type: pipeline
name: demo
jobs:
  make:
    type: command
    command: echo ${{inputs.n}} > ${{outputs.out}}/a.txt
    inputs: {n: 1}
    outputs: {out: {type: uri_folder}}
"""
ALL = ["gc", "--older-than", "0", "--keep-last", "0", "--grace", "0"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "workspace.yml").write_text("name: here\n")
    (tmp_path / "pipeline.yml").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "pipeline.yml"]) == 0
    capsys.readouterr()
    return tmp_path


@pytest.fixture
def first(project: Path) -> str:
    """Id of the run that the project has."""
    return load_workspace(project / "workspace.yml").runs.runs("demo")[0].run_id


def found(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, int]:
    assert main([*ALL, "--json", *words]) == 0
    items = json.loads(capsys.readouterr().out)["items"]
    return {f"{item['action']} {item['kind']}": item["bytes"] for item in items}


def test_nothing_to_collect(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--delete"]) == 0
    assert capsys.readouterr().out == "Nothing to collect; 1 attempts are needed.\n"


def test_look_then_delete(project: Path, first: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ALL) == 0
    out = capsys.readouterr().out
    assert f"make of run {first} of demo" in out
    assert "unfindable" in out
    assert "Nothing was changed; repeat with --delete to do it." in out
    assert "retire result" in found(capsys)
    assert main([*ALL, "--delete"]) == 0
    assert "Freed" in capsys.readouterr().out
    assert found(capsys, "--delete")["delete attempt"] > 0
    assert list((project / "store" / "mlpipe" / "attempts").iterdir()) == []
    assert main(["run", "pipeline.yml"]) == 0
    assert "ran" in capsys.readouterr().out


def test_a_pin_keeps_a_run(first: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pin", "paper", "demo", first]) == 0
    assert capsys.readouterr().out == f"Pinned 1 attempts of run {first} of demo as paper.\n"
    assert "retire result" not in found(capsys, "--delete")
    assert main(["pin"]) == 0
    assert capsys.readouterr().out == f"paper: run {first} of demo, 1 attempts\n"
    assert main(["pin", "paper", "--remove"]) == 0
    assert capsys.readouterr().out == "Dropped the pin paper.\n"
    assert "retire result" in found(capsys, "--delete")
    assert "delete attempt" in found(capsys, "--delete")
    assert main(["pin", "late", "demo", first]) == 1
    assert f"1 of 1 outputs of run {first} are gone already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["gc", "--older-than", "soon"], "--older-than is 'soon'; write a length of time"),
        (["gc", "--keep-last", "-1"], "keep_last is -1"),
        (["pin", "x"], "Say which run to keep"),
        (["pin", "x", "demo", "second"], "has no ended steps of run 'second' of 'demo'"),
        (["pin", "x", "--remove"], "There is no pin 'x'."),
    ],
)
def test_mistakes_are_named(project: Path, capsys: pytest.CaptureFixture[str], words: list[str], text: str) -> None:
    assert main(words) == 2
    assert text in capsys.readouterr().err


def test_what_could_not_be_done_is_an_exit_code(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scratch = project / "scratch"
    (scratch / ("mlp-" + "0" * 48)).mkdir(parents=True)
    os.utime(scratch / ("mlp-" + "0" * 48), (0, 0))
    (project / "store" / "mlpipe" / "pins").mkdir(parents=True)
    (project / "store" / "mlpipe" / "pins" / "x.json").write_bytes(b"{}")
    assert main(["gc", "--delete"]) == 1
    assert "The pin mlpipe/pins/x.json is damaged" in capsys.readouterr().err
    assert (scratch / ("mlp-" + "0" * 48)).exists()
