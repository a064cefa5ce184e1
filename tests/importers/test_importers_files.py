"""Files of other systems: what they become, and that nothing of them is dropped in silence."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.importers import import_file

FILES = Path(__file__).parent / "files"
EXPECTED = Path(__file__).parent / "expected"
SOURCES = ("v1.yml", "dag_factory.yml")
Path_ = tuple[str | int, ...]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(FILES, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


@pytest.mark.parametrize("name", SOURCES)
def test_what_a_file_becomes(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / name).read_bytes()
    assert main(["import", name, "--json"]) == 1
    done = json.loads(capsys.readouterr().out)
    assert done["faults"] == []
    assert (folder / name).read_bytes() == before
    for written in done["written"]:
        assert (folder / written).read_text(encoding="utf-8") == (EXPECTED / written).read_text(encoding="utf-8")
    remarks = [f"{each['line']}:{each['column']} {each['code']} {each['path']}" for each in done["remarks"]]
    assert remarks == (EXPECTED / f"{name}.remarks").read_text(encoding="utf-8").splitlines()
    assert main(["validate", *done["written"]]) == 0
    assert capsys.readouterr().err == ""


def mappings(data: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every mapping of a file."""
    if isinstance(data, dict):
        yield path
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield from mappings(value, (*path, key))


FREE = {"flights.tasks.fetch.env", "flights.params", "flights.task_groups", "flights.task_groups.group_one"}
FREE |= {"pipeline.steps.Train.parameters"}
"""Mappings of names that the user chooses, or that are reported as a whole."""
WHOLE = {"flights.tasks.call.op_kwargs", "other-dag.schedule_interval", "other-dag.tasks.1"}


@pytest.mark.parametrize("name", SOURCES)
def test_a_key_that_is_not_understood_is_reported_wherever_it_stands(folder: Path, name: str) -> None:
    data = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    for path in mappings(data):
        dotted = ".".join(map(str, path))
        if dotted in FREE | WHOLE or (name == "dag_factory.yml" and not path):
            continue
        changed = copy.deepcopy(data)
        holder = changed
        for key in path:
            holder = holder[key]
        holder["surprise"] = "x"
        (folder / "changed.yml").write_text(json.dumps(changed, default=str), encoding="utf-8")
        found = [fault.path for fault in import_file(folder / "changed.yml").remarks]
        assert any(place.endswith("surprise") for place in found), f"{dotted}: {found}"


def test_everything_carried_over_is_exit_code_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = "{type: PythonScriptStep, script_name: train.py, source_directory: src}"
    Path("small.yml").write_text(f"pipeline: {{name: small_one, steps: {{train: {step}}}}}\n")
    assert main(["import", "small.yml", "-o", "../new"]) == 1
    assert "MLP120" in capsys.readouterr().err
    assert main(["import", "small.yml"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("small_one.yml written, from Azure ML SDK v1.\n", "")


def test_no_file_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("flights.yml").write_text("mine")
    assert main(["import", "dag_factory.yml"]) == 2
    assert "flights.yml is there already; nothing was written." in capsys.readouterr().err
    assert not Path("other_dag.yml").exists()
    assert Path("flights.yml").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n", "x.yml:1:1 error MLP403  this is neither:"),
        ("pipeline: {name: x}\n", "x.yml:1:1 error MLP403"),
        ("a: &b {tasks: {}}\n", "x.yml:1:4 error MLP006"),
        ("a: !!python/name:os.system {tasks: {}}\n", "x.yml:1:4 error MLP007"),
        ("a: [\n", "x.yml:2:1 error MLP003"),
    ],
)
def test_a_file_that_cannot_be_read(folder: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.yml").write_text(text)
    before = sorted(folder.iterdir())
    assert main(["import", "x.yml"]) == 2
    assert capsys.readouterr().err.startswith(said)
    assert sorted(folder.iterdir()) == before


def test_shapes_that_nobody_expects_are_reported_and_break_nothing(folder: Path) -> None:
    Path("x.yml").write_text(
        "pipeline: {parameters: [1], data_references: 7, name: [x], steps: {a: 7, b: [1], c: null}}\n"
    )
    found = [fault.path for fault in import_file(Path("x.yml")).remarks]
    assert found[:2] == ["pipeline.parameters", "pipeline.data_references"]
    assert {"pipeline.name", "pipeline.steps.a", "pipeline.steps.b"} <= set(found)
    Path("y.yml").write_text("dag: {tasks: 7, default_args: 3, params: x, tags: 1, schedule: [a]}\n")
    assert "dag.default_args" in [fault.path for fault in import_file(Path("y.yml")).remarks]


HOSTILE = "x'; touch marker #$(touch marker)"


def test_foreign_text_does_nothing_when_it_is_imported_and_run(folder: Path) -> None:
    step = {"type": HOSTILE, "name": HOSTILE, "arguments": [HOSTILE, "$HOME"]}
    script = {"type": "PythonScriptStep", "script_name": "train.py", "source_directory": "src", "arguments": [HOSTILE]}
    data = {"pipeline": {"name": HOSTILE, "steps": {HOSTILE: step, "train": script}}}
    Path("x.yml").write_text(json.dumps(data))
    (text,) = import_file(Path("x.yml")).texts.values()
    jobs = yaml.safe_load(text)["jobs"]
    assert jobs["train"]["command"] == """python train.py 'x'"'"'; touch marker #$(touch marker)'"""
    assert jobs["x_touch_marker_touch_marker"]["command"] == (
        "echo 'not imported: x_ touch marker _touch marker_' >&2; exit 1"
    )
