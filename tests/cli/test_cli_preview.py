"""``mlpipe preview``: the graph in all its forms, and the plan of a run on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from airflow_mlpipe.cli.main import main

PIPELINE = """\
type: pipeline
name: flights
inputs: {rate: {type: number, default: 1}}
jobs:
  fetch: {command: "echo x > ${{outputs.rows}}", outputs: {rows: {type: uri_file}}}
  train:
    command: echo ${{inputs.rows}} ${{inputs.rate}} > ${{outputs.model}}
    inputs: {rows: "${{parent.jobs.fetch.outputs.rows}}", rate: "${{parent.inputs.rate}}"}
    outputs: {model: {type: uri_file}}
  report: {command: echo, airflow: {run_after: [train]}}
"""
MERMAID = """\
flowchart TD
    s0["fetch"]
    s1["train"]
    s2["report"]
    s0 -->|"rows"| s1
    s1 -.-> s2
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("p.yml").write_text(PIPELINE)
    Path("workspace.yml").write_text("name: here\ndatastores: {workspaceblobstore: {type: local, path: ./store}}\n")
    return tmp_path


def test_the_graph_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "p.yml"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"│ {name} │") for name in ("fetch", "train", "report")]
    assert places == sorted(places)
    table = [line.split() for line in out.splitlines()[-4:]]
    assert table == [
        ["step", "type", "after"],
        ["fetch", "command"],
        ["train", "command", "fetch", "(rows)"],
        ["report", "command", "train"],
    ]


def test_a_wide_graph_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = "".join(f"  a_rather_long_name_{number}: {{command: echo}}\n" for number in range(20))
    Path("p.yml").write_text(f"type: pipeline\nname: wide\njobs:\n{jobs}")
    assert main(["preview", "p.yml"]) == 0
    drawn = capsys.readouterr().out.split("step ")[0]
    assert all(f"│ a_rather_long_name_{number} │" in drawn for number in range(20))


def test_mermaid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "p.yml", "--format", "mermaid"]) == 0
    assert capsys.readouterr().out == MERMAID
    assert main(["preview", "p.yml", "--format", "mermaid", "-o", "graph.mmd"]) == 0
    assert (folder / "graph.mmd").read_text() == MERMAID
    assert sorted(path.name for path in folder.iterdir()) == ["graph.mmd", "p.yml", "workspace.yml"]


def test_svg_is_a_picture_that_needs_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "p.yml", "--format", "svg"]) == 0
    text = capsys.readouterr().out
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = "".join(root.itertext())
    assert all(name in words for name in ("flights", "fetch", "train", "report"))
    assert text.count("http") == 1
    assert main(["preview", "p.yml", "--format", "svg"]) == 0
    assert capsys.readouterr().out == text


def test_the_plan_is_drawn_with_the_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "p.yml"]) == 0
    capsys.readouterr()
    assert main(["preview", "p.yml", "--plan", "--param", "rate=2"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines()[-4:-1]] == [
        ["fetch", "reuse"],
        ["train", "run"],
        ["report", "later"],
    ]
    assert "input rate: 1.0 -> 2.0" in out
    assert main(["preview", "p.yml", "--plan", "--format", "mermaid"]) == 0
    out = capsys.readouterr().out
    assert 's0["fetch<br/>reuse"]' in out
    assert "    class s0,s1,s2 reuse\n" in out
    assert main(["preview", "p.yml", "--plan", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"][0]["decision"] == "reuse"
    assert found["edges"][0] == {"before": "fetch", "after": "train", "outputs": ["rows"]}


def test_an_environment_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mlpipe.toml").write_text("[environments.dev]\ndag_id_prefix = 'dev_'\ncompute = 'gpu'\n")
    assert main(["preview", "p.yml", "--format", "table", "--env", "dev"]) == 0
    assert capsys.readouterr().out.count(" gpu") == 3
    assert main(["preview", "p.yml", "--json", "--env", "dev"]) == 0
    assert json.loads(capsys.readouterr().out)["pipeline"] == "dev_flights"
    assert main(["preview", "p.yml", "--env", "prod"]) == 2


def test_the_workspace_of_the_project_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other").mkdir()
    Path("workspace.yml").rename("other/there.yml")
    Path("mlpipe.toml").write_text('workspace = "other/there.yml"\n')
    assert main(["run", "p.yml"]) == 0
    assert Path("other/store").is_dir()


def test_output_is_for_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "p.yml", "-o", "x"]) == 2
    assert "-o FILE goes with --format mermaid" in capsys.readouterr().err


def test_what_is_missing_is_named() -> None:
    program = "import sys; sys.modules['netext'] = None\nfrom airflow_mlpipe.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "preview", "p.yml"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 2
    assert "pip install 'airflow-mlpipe[preview]'" in done.stderr
    assert subprocess.run([*command, "--format", "table"], capture_output=True).returncode == 0


def test_airflow_is_not_imported() -> None:
    program = (
        "import sys; sys.modules['airflow'] = None; from airflow_mlpipe.cli.main import main; "
        "sys.exit(main(['preview', 'p.yml', '--plan']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
