"""``mlpipe init``: what it writes is a good pipeline, and nothing is overwritten."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from airflow_mlpipe.cli.init import TEMPLATES
from airflow_mlpipe.cli.main import main
from airflow_mlpipe.generator import Renderer, build
from airflow_mlpipe.spec import load_pipeline


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
    steps = len(load_pipeline(folder / "pipeline.yml").steps)
    assert f"{steps} ran, 0 reused" in first
    assert f"0 ran, {steps} reused" in capsys.readouterr().out


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
