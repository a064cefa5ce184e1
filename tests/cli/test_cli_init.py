"""``mlpipe init``: what it writes is a good pipeline, and nothing is overwritten."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from airflow_mlpipe.cli.init import TEMPLATES
from airflow_mlpipe.cli.main import main
from airflow_mlpipe.generator import Renderer, build
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.model import Template


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_new_pipeline_runs_and_is_then_reused(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "My flats"
    assert main(["init", "--template", template, str(folder)]) == 0
    assert f"mlpipe run {folder}/pipeline.yml" in capsys.readouterr().out
    pipeline = str(folder / "pipeline.yml")
    assert main(["run", pipeline]) == 0
    first = capsys.readouterr().out
    assert main(["run", pipeline]) == 0
    steps = [step for step in load_pipeline(folder / "pipeline.yml").steps if step.branch is None]
    assert f"{len(steps)} ran, 0 reused" in first
    second = capsys.readouterr().out
    if template == "champion_challenger":  # the model of the first run is the champion now, and is met anew
        assert "the challenger's error is 4.07, the champion's is 4.07: keep the champion" in second
        assert "1 ran, 2 reused" in second
        assert main(["run", pipeline]) == 0
        assert "0 ran, 3 reused" in capsys.readouterr().out
    else:
        assert f"0 ran, {len(steps)} reused" in second


def test_a_challenger_takes_the_place_of_the_champion_only_by_the_margin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One story: another champion, one that is hardly better, one that is better."""
    assert main(["init", "--template", "champion_challenger", str(tmp_path)]) == 0
    run = ["run", str(tmp_path / "pipeline.yml")]
    assert main([*run, "--param", "days=9"]) == 0
    capsys.readouterr()
    assert main([*run, "--param", "margin=0.9"]) == 0
    kept = capsys.readouterr().out
    assert "keep the champion" in kept
    assert "registered" not in kept
    assert main(run) == 0
    promoted = capsys.readouterr().out
    assert "compare  | the challenger's error is 4.07, the champion's is 6.33: promote" in promoted
    assert f"registered {tmp_path.name}:2" in promoted


def test_bad_deliveries_are_not_registered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--template", "data_ingestion", str(tmp_path)]) == 0
    assert main(["run", str(tmp_path / "pipeline.yml"), "--param", "max_bad=0.05"]) == 1
    out, err = capsys.readouterr()
    assert "More than 5% of the rows are bad; nothing is registered." in out + err
    assert "registered " not in out
    (tmp_path / "landing/sales-2026-01-05.csv").unlink()
    assert main(["run", str(tmp_path / "pipeline.yml"), "--param", "max_bad=0.05"]) == 0
    assert f"registered {tmp_path.name}:1" in capsys.readouterr().out


def test_only_the_shop_with_new_data_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--template", "many_models", str(tmp_path)]) == 0
    assert main(["run", str(tmp_path / "pipeline.yml")]) == 0
    with (tmp_path / "data/hill.csv").open("a") as file:
        file.write("2026-01,55.0\n")
    capsys.readouterr()
    assert main(["run", str(tmp_path / "pipeline.yml")]) == 0
    out = capsys.readouterr().out
    assert "1 ran, 3 reused" in out
    assert f"registered {tmp_path.name}-hill:2" in out


@pytest.mark.parametrize("template", TEMPLATES)
def test_lint_has_nothing_to_say(template: str, tmp_path: Path) -> None:
    assert main(["init", "--template", template, str(tmp_path)]) == 0
    assert main(["lint", str(tmp_path / "pipeline.yml")]) == 0


@pytest.mark.airflow
def test_the_test_of_the_new_pipeline_passes(tmp_path: Path) -> None:
    """One of them, since it is the same file for all: the one whose second run still has work to do."""
    assert main(["init", "--template", "champion_challenger", str(tmp_path / "new")]) == 0
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = [sys.executable, "-m", "unittest", "discover", "tests"]
    done = subprocess.run(
        words, cwd=tmp_path / "new", env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 3 tests" in done.stderr


def test_each_template_has_a_scaffold() -> None:
    assert sorted(TEMPLATES) == sorted(get_args(Template))


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_new_pipeline_has_a_dag(template: str, tmp_path: Path) -> None:
    assert main(["init", "--template", template, str(tmp_path / "flats")]) == 0
    spec = load_pipeline(tmp_path / "flats/pipeline.yml")
    assert (spec.name, spec.airflow.template, spec.warnings) == ("flats", template, ())
    [file] = build([spec], tmp_path / "dags", Renderer())
    assert f"(template {template})" in file.text
    written = [path for path in (tmp_path / "flats").rglob("*") if path.is_file()]
    assert not [path for path in written if "PIPELINE_NAME" in path.read_text()]
    assert (tmp_path / "flats/src/.amlignore").exists()


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_scripts_need_nothing_but_python(template: str, tmp_path: Path) -> None:
    assert main(["init", "--template", template, str(tmp_path)]) == 0
    scripts = list((tmp_path / "src").glob("*.py"))
    local = {path.stem for path in scripts}
    for path in scripts:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | local


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/clean.py").write_text("mine\n")
    assert main(["init", str(tmp_path)]) == 2
    assert "holds src/clean.py already; nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["src"]
    assert (tmp_path / "src/clean.py").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("folder", "name"), [("Zürich flats!", "Z_rich_flats"), ("...", "pipeline"), ("a.b", "a_b"), ("{{x}}", "x")]
)
def test_the_pipeline_is_named_after_the_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert main(["init", str(tmp_path / folder)]) == 0
    assert load_pipeline(tmp_path / folder / "pipeline.yml").name == name
