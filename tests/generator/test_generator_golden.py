"""Whole DAG files, kept in golden/. Accept a change with: pytest tests/generator --update-golden"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlpipe.cli import load_dags
from airflow_mlpipe.generator import DagFile, Renderer, build
from airflow_mlpipe.spec import load_pipeline

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
SPECS = {
    "flights": HERE / "pipelines/flights/pipeline.yml",
    "branches": HERE / "pipelines/branches.yml",
    "nested": HERE / "pipelines/nested/pipeline.yml",
    "monthly_nested": HERE / "pipelines/schedules/monthly.yml",
    "on_data_change": HERE / "pipelines/on_data_change.yml",
    "on_dataset": HERE / "pipelines/on_dataset.yml",
    "dated": HERE / "pipelines/dated.yml",
    "later": HERE / "pipelines/later.yml",
    "minimal": HERE / "pipelines/minimal.yml",
    "scoring": HERE / "pipelines/scoring.yml",
}
LATER = {"AutoMLOperator", "ImportOperator", "SparkOperator", "SweepOperator"}
DATES = ("pendulum.datetime", "timedelta")
RUFF = Path(sys.executable).with_name("ruff")
ALLOWED_NODES = (
    *(ast.Module, ast.Expr, ast.Import, ast.ImportFrom, ast.alias, ast.With, ast.withitem, ast.Assign),
    *(ast.Call, ast.keyword, ast.Name, ast.Load, ast.Store, ast.Attribute, ast.BinOp, ast.RShift),
    *(ast.Constant, ast.Dict, ast.List, ast.UnaryOp, ast.USub),
)


def rendered(name: str) -> DagFile:
    [file] = build([load_pipeline(SPECS[name])], GOLDEN, Renderer())
    return file


@pytest.mark.parametrize("name", SPECS)
def test_a_pipeline_renders_as_its_golden_file(name: str, update_golden: bool) -> None:
    file = rendered(name)
    if update_golden:
        file.path.write_text(file.text)
    assert file.path.read_text() == file.text, f"accept with: pytest {HERE} --update-golden"


def test_every_golden_file_has_a_pipeline() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.py")) == sorted(SPECS)


def test_the_formatter_leaves_golden_files_alone() -> None:
    done = subprocess.run([RUFF, "format", "--isolated", "--diff", GOLDEN], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_linter_has_nothing_to_say_about_golden_files(tmp_path: Path) -> None:
    done = subprocess.run(
        [RUFF, "check", "--isolated", "--select", "F,E,W,I,B,UP,C4,SIM,PLC,PLE,RUF,AIR", "--ignore", "E501", GOLDEN],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SPECS)
def test_golden_files_hold_nothing_but_imports_calls_and_edges(name: str) -> None:
    tree = ast.parse((GOLDEN / f"{name}.py").read_text())
    assert {type(node) for node in ast.walk(tree)} <= set(ALLOWED_NODES)
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    operators = {
        "BranchOperator",
        "PlanOperator",
        "CommandOperator",
        "ParallelRunOperator",
        "DataTransferOperator",
    } | LATER
    assert called <= operators | {"Asset", "DAG", "Param", "TaskGroup", "callback", "changed_data", *DATES}


@pytest.mark.airflow
def test_airflow_loads_every_golden_file() -> None:
    command = [*load_dags.COMMAND, str(GOLDEN)]
    done = subprocess.run(command, input=f"{GOLDEN}\n", capture_output=True, text=True)
    assert json.loads(done.stdout) == {}, done.stderr


_RENDER = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[1], 8))
from airflow_mlpipe.generator import Renderer, build, write_file
from airflow_mlpipe.spec import load_pipeline
out = Path(sys.argv[2])
for file in build([load_pipeline(Path(name)) for name in sys.argv[3:]], out, Renderer()):
    write_file(file.path, file.text)
"""


@pytest.mark.parametrize(
    ("environment", "umask", "relative"),
    [
        ({"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"}, "077", False),
        ({"PYTHONHASHSEED": "4711", "TZ": "America/New_York", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "0"}, "002", True),
    ],
)
def test_the_same_bytes_everywhere(tmp_path: Path, environment: dict[str, str], umask: str, relative: bool) -> None:
    project = tmp_path / "project"
    (project / "dags").mkdir(parents=True)
    _copy(HERE / "pipelines", project / "pipelines")
    cwd = project / "pipelines" if relative else tmp_path
    paths = [project / spec.relative_to(HERE) for spec in SPECS.values()]
    out = os.path.relpath(project / "dags", cwd) if relative else str(project / "dags")
    names = [os.path.relpath(path, cwd) if relative else str(path) for path in paths]
    subprocess.run(
        [sys.executable, "-c", _RENDER, umask, out, *names], env={**os.environ, **environment}, cwd=cwd, check=True
    )
    for name in SPECS:
        written = project / "dags" / f"{name}.py"
        assert written.read_bytes() == (GOLDEN / f"{name}.py").read_bytes()
        assert oct(written.stat().st_mode & 0o777) == oct(0o666 & ~int(umask, 8))


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(source)).write_bytes(path.read_bytes())
