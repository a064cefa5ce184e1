"""``mlpipe generate`` from files to files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from airflow_mlpipe.cli import load_dags
from airflow_mlpipe.cli.main import main

SPEC = "type: pipeline\nname: {name}\njobs:\n  hello: {{type: command, command: echo {word}}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelines").mkdir()
    for name in ("one", "two"):
        (tmp_path / f"pipelines/{name}.yml").write_text(SPEC.format(name=name, word="hello"))
    return tmp_path


def generate(*words: str) -> int:
    return main(["generate", "pipelines", "-o", "dags", *words])


@pytest.mark.airflow
def test_files_are_written_once_and_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("--check") == 1
    assert not (folder / "dags").exists()
    assert capsys.readouterr().err.splitlines()[-1] == "2 to write, 0 orphans, 0 up to date."

    assert generate() == 0
    assert capsys.readouterr().out == "2 written, 0 unchanged\n"
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "dags").iterdir()}
    assert sorted(before) == ["one.py", "two.py"]

    assert generate() == 0
    assert capsys.readouterr().out == "0 written, 2 unchanged\n"
    assert generate("--check") == 0
    assert capsys.readouterr().out == "2 files up to date.\n"
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "dags").iterdir()} == before

    (folder / "pipelines/one.yml").write_text(SPEC.format(name="one", word="goodbye"))
    (folder / "pipelines/two.yml").unlink()
    assert generate("--check") == 1
    out, err = capsys.readouterr()
    assert '-        command="echo hello",' in out
    assert '+        command="echo goodbye",' in out
    assert "dags/one.py: is older than its spec." in err
    assert "dags/two.py: no spec makes this file any more." in err

    assert generate("--json") == 0
    rest = {"orphans": ["dags/two.py"], "removed": [], "faults": [], "refused": {}}
    assert json.loads(capsys.readouterr().out) == {"written": ["dags/one.py"], "unchanged": 0, **rest}
    assert generate("--check", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"changed": [], "unchanged": 1, **rest}


@pytest.mark.airflow
def test_a_bad_spec_stops_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate() == 0
    old = (folder / "dags/two.py").read_text()
    (folder / "pipelines/one.yml").write_text(SPEC.format(name="one", word="goodbye"))
    (folder / "pipelines/two.yml").write_text("type: pipeline\njobs: 7\n")
    (folder / "pipelines/zoo.yml").write_text(SPEC.format(name="zoo", word="hello"))
    capsys.readouterr()
    for counts in ("2 written, 0 unchanged", "0 written, 2 unchanged"):
        assert generate() == 2
        out, err = capsys.readouterr()
        assert "pipelines/two.yml:2:7 error MLP023" in err
        assert "1 error; the DAG files of these pipelines stay as they are." in err
        assert "Traceback" not in err
        assert out == counts + "\n"
    assert "goodbye" in (folder / "dags/one.py").read_text()
    assert (folder / "dags/two.py").read_text() == old
    assert (folder / "dags/zoo.py").is_file()
    assert generate("--check") == 2


def test_a_file_that_a_person_wrote_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "dags").mkdir()
    (folder / "dags/one.py").write_text("# Written by hand\n")
    (folder / "pipelines/two.yml").unlink()
    assert generate() == 2
    assert "pipelines/one.yml:1:1 error MLP153" in capsys.readouterr().err
    assert (folder / "dags/one.py").read_text() == "# Written by hand\n"


@pytest.mark.airflow
def test_what_airflow_does_not_load_is_not_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tags = f"airflow: {{tags: [{'x' * 101}]}}\n"
    (folder / "pipelines/two.yml").write_text(SPEC.format(name="two", word="hello") + tags)
    assert generate() == 1
    out, err = capsys.readouterr()
    assert "dags/two.py: Airflow does not load the new file: " in err
    assert "1 error; the DAG files of these pipelines stay as they are." in err
    assert out == "1 written, 0 unchanged\n"
    assert [path.name for path in (folder / "dags").iterdir()] == ["one.py"]


def test_two_specs_with_one_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pipelines/two.yml").write_text(SPEC.format(name="one", word="hello"))
    assert generate() == 2
    assert (
        "pipelines/two.yml:1:1 error MLP152  airflow.dag_id: pipelines/one.yml has the DAG id 'one' too"
        in capsys.readouterr().err
    )


def test_templates_of_a_missing_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("--templates", "mine") == 2
    assert "--templates mine: this is not a folder." in capsys.readouterr().err


def test_a_template_of_the_user(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine").mkdir()
    (folder / "mine/general.py.j2").write_text(
        '{% extends "mlpipe/general.py.j2" %}{% block extras %}\n    # ours{% endblock %}'
    )
    assert generate("--check", "--templates", "mine") == 1
    assert "+    # ours" in capsys.readouterr().out


@pytest.mark.airflow
def test_the_reason_is_the_exception_alone(folder: Path) -> None:
    (folder / "bad.py").write_text("raise ValueError('first line\\n  second line')\n")
    (folder / "none.py").write_text("x = 1\n")
    command = [*load_dags.COMMAND, str(folder)]
    done = subprocess.run(command, input=f"{folder}\n", capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "bad.py": "ValueError: first line\n  second line",
        "none.py": "Airflow finds the DAGs [] in it; expected 'none' alone",
    }


@pytest.mark.airflow
def test_a_dag_may_have_the_name_of_a_standard_module_and_import_its_neighbour(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pipelines/one.yml").write_text(SPEC.format(name="calendar", word="hello"))
    (folder / "mine").mkdir()
    block = "{% block imports %}\nfrom neighbour import notify{% endblock %}"
    (folder / "mine/general.py.j2").write_text('{% extends "mlpipe/general.py.j2" %}' + block)
    (folder / "dags").mkdir()
    (folder / "dags/neighbour.py").write_text("notify = print\n")
    (folder / "dags/json.py").write_text("raise ImportError('not me')\n")
    monkeypatch.chdir(folder / "dags")
    for _ in range(2):
        assert main(["generate", "../pipelines", "-o", ".", "--templates", "../mine"]) == 0
        (folder / "pipelines/two.yml").write_text(SPEC.format(name="two", word="goodbye"))
    assert capsys.readouterr().out == "2 written, 0 unchanged\n1 written, 1 unchanged\n"
