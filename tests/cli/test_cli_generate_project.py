"""``mlpipe generate`` in a repository with an ``mlpipe.toml``: environments, what is left over, what is done again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.generator import Renderer
from airflow_mlpipe.generator.plan import DagPlan

SPEC = "type: pipeline\nname: {name}\njobs:\n  hello: {{type: command, command: echo {word}}}\n"
PROJECT = """\
paths = ["pipelines"]
output = "dags"
[environments.dev]
dag_id_prefix = "dev_"
[environments.prod]
output = "dags_prod"
tags = ["prod"]
"""
pytestmark = pytest.mark.airflow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "mlpipe.toml").write_text(PROJECT)
    for name in ("one", "two"):
        write_spec(name)
    return tmp_path


def write_spec(name: str, word: str = "hello") -> None:
    Path(f"pipelines/{name}.yml").write_text(SPEC.format(name=name, word=word))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.py"))}


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The DAG ids that are rendered from here on."""
    names: list[str] = []
    render = Renderer.render

    def spy(self: Renderer, plan: DagPlan) -> str:
        names.append(plan.dag_id)
        return render(self, plan)

    monkeypatch.setattr(Renderer, "render", spy)
    return names


def test_no_argument_is_needed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate"]) == 0
    assert capsys.readouterr().out == "2 written, 0 unchanged\n"
    assert main(["generate", "--check"]) == 0
    assert capsys.readouterr().out == "2 files up to date.\n"
    (folder / "pipelines/deep").mkdir()
    os.chdir(folder / "pipelines/deep")
    assert main(["generate", "--check"]) == 0


def test_environments_have_files_of_their_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--env", "dev"], ["--env", "prod"]):
        assert main(["generate", *words]) == 0
        assert main(["generate", "--check", *words]) == 0
    assert "orphan" not in capsys.readouterr().err
    assert sorted(files(folder / "dags")) == ["dev_one.py", "dev_two.py", "one.py", "two.py"]
    assert sorted(files(folder / "dags_prod")) == ["one.py", "two.py"]
    text = (folder / "dags/dev_one.py").read_text()
    assert text.splitlines()[3] == "# environment: dev"
    assert 'dag_id="dev_one"' in text
    assert "mlpipe generate ../pipelines/one.yml -o . --env dev" in text
    assert 'tags=["prod"]' in (folder / "dags_prod/one.py").read_text()
    (folder / "pipelines/one.yml").unlink()
    assert main(["generate", "--prune", "--env", "dev"]) == 0
    assert sorted(files(folder / "dags")) == ["dev_two.py", "two.py"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--env", "prd"], "mlpipe.toml has no environment 'prd'; it has: dev, prod. Did you mean 'prod'?"),
        (["--project", "nowhere.toml"], "nowhere.toml:1:1 error MLP001"),
    ],
)
def test_what_is_not_there(folder: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "dags").exists()


def test_an_environment_needs_a_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mlpipe.toml").unlink()
    assert main(["generate", "pipelines", "-o", "dags", "--env", "dev"]) == 2
    assert "--env dev: there is no mlpipe.toml" in capsys.readouterr().err


def test_a_pipeline_that_only_the_project_knows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("mlpipe.toml").open("a") as file:
        file.write("[environments.prod.pipelines.tow]\nschedule = false\n")
    assert main(["generate", "pipelines/one.yml", "--env", "prod"]) == 0
    assert main(["generate", "--env", "prod"]) == 2
    assert "mlpipe.toml:8:1 error MLP156" in capsys.readouterr().err


def test_a_difference_is_shown_and_nothing_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--diff"]) == 0
    out = capsys.readouterr().out
    assert '+    dag_id="one",' in out
    assert not (folder / "dags").exists()
    write_spec("two", word="[")
    Path("pipelines/two.yml").write_text("type: pipeline\njobs: 7\n")
    assert main(["generate", "--diff"]) == 2


def test_only_what_changed_is_rendered(folder: Path, rendered: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(60):
        write_spec(f"p{number}")
    assert main(["generate"]) == 0
    assert len(rendered) == 62
    rendered.clear()
    assert main(["generate"]) == 0
    assert rendered == []
    write_spec("p7", word="goodbye")
    assert main(["generate"]) == 0
    assert rendered == ["p7"]
    assert capsys.readouterr().out.splitlines()[-1] == "1 written, 61 unchanged"


def _touch(path: str) -> None:
    os.utime(path, (1, 1))


def _edit(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("# mine\n")


COMPONENT = "type: command\ncommand: echo\nenvironment: {pip_requirements: ./requirements.txt}\n"


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda: _touch("pipelines/one.yml"), []),
        (lambda: _touch("dags/one.py"), []),
        (lambda: _edit("dags/one.py"), ["one"]),
        (lambda: Path("dags/one.py").unlink(), ["one"]),
        (lambda: Path("pipelines/train.yml").write_text(COMPONENT + "tags: {a: b}\n"), ["one"]),
        (lambda: _edit("pipelines/requirements.txt"), []),
        (lambda: _edit("templates/general.py.j2"), ["one", "two"]),
        (lambda: next(Path("cache").rglob("*.json")).write_text("{"), ["one", "two"]),
        (lambda: next(Path("cache").rglob("*.json")).write_text('{"maker": 1}'), ["one", "two"]),
    ],
)
def test_what_a_file_depends_on(folder: Path, change: Callable[[], Any], again: list[str], rendered: list[str]) -> None:
    Path("templates").mkdir()
    Path("templates/general.py.j2").write_text('{% extends "mlpipe/general.py.j2" %}')
    Path("mlpipe.toml").write_text(PROJECT.replace('output = "dags"', 'output = "dags"\ntemplates = "templates"'))
    Path("pipelines/train.yml").write_text(COMPONENT)
    Path("pipelines/requirements.txt").touch()
    Path("pipelines/one.yml").write_text("type: pipeline\nname: one\njobs: {a: {component: ./train.yml}}\n")
    assert main(["generate"]) == 0
    rendered.clear()
    change()
    assert main(["generate"]) == 0
    assert rendered == again


def test_a_file_that_is_gone_is_noticed_although_the_spec_is_as_it_was(folder: Path) -> None:
    Path("pipelines/src").mkdir()
    Path("pipelines/src/a.py").touch()
    Path("pipelines/one.yml").write_text("type: pipeline\nname: one\njobs: {a: {code: ./src, command: python a.py}}\n")
    assert main(["generate"]) == 0
    Path("pipelines/src/a.py").unlink()
    assert main(["generate"]) == 2


def test_warnings_are_told_each_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("pipelines/one.yml").open("a") as file:
        file.write("experiment_name: x\n")
    for _ in range(2):
        assert main(["generate"]) == 0
        assert "pipelines/one.yml:5:1 warning MLP201" in capsys.readouterr().err
    os.chdir("pipelines")
    assert main(["generate"]) == 0
    assert "\none.yml:" in "\n" + capsys.readouterr().err


def test_what_is_left_over_is_removed_when_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate"]) == 0
    (folder / "dags/by_hand.py").write_text("x = 1\n")
    (folder / "pipelines/one.yml").rename(folder / "pipelines/uno.yml")
    write_spec("uno", "[")
    Path("pipelines/uno.yml").write_text("type: pipeline\njobs: 7\n")
    assert main(["generate", "--prune"]) == 2
    assert "Nothing was removed" in capsys.readouterr().err
    assert "one.py" in files(folder / "dags")
    write_spec("uno")
    assert main(["generate", "--prune", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["written"], done["removed"], done["orphans"]) == (["dags/uno.py"], ["dags/one.py"], [])
    assert sorted(files(folder / "dags")) == ["by_hand.py", "two.py", "uno.py"]


def test_check_and_prune_exclude_each_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["generate", "--check", "--prune"])
    assert "not allowed with" in capsys.readouterr().err


def test_a_kill_leaves_whole_files_and_the_next_call_goes_on(folder: Path, wait_until: Callable[..., Any]) -> None:
    for number in range(120):
        write_spec(f"p{number:03d}")
    command = [str(Path(sys.executable).with_name("mlpipe")), "generate"]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: files(folder / "dags") or killed.poll() is not None, timeout=120)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    left = files(folder / "dags")
    assert left
    subprocess.run(command, check=True, capture_output=True)
    whole = files(folder / "dags")
    assert len(whole) == 122
    assert {name: whole[name] for name in left} == left
