"""``mlpipe run`` as a process of its own: how little it loads, and what its jobs see of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """
type: pipeline
name: small
jobs:
  say:
    type: command
    command: env > ${{outputs.out}}/env; env
    outputs: {out: {type: uri_folder, name: said}}
"""
NAMES_OF_MODULES = """
import sys
from airflow_mlpipe.cli import main
code = main.main()
print("modules:", *sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def mlpipe(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    unset = ("FORCE_COLOR", "PYDANTIC_DISABLE_PLUGINS", "MLPIPE_WORKSPACE")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, "-c", NAMES_OF_MODULES, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr.partition("modules:")[0]
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pipeline and a workspace."""
    (tmp_path / "workspace.yml").write_text("name: test\n")
    (tmp_path / "pipeline.yml").write_text(PIPELINE)
    return tmp_path


def test_what_the_command_sets_for_itself_does_not_reach_its_jobs(folder: Path) -> None:
    said = mlpipe(folder, "run", "pipeline.yml").stdout
    assert "MLPIPE_JOB_KEY=" in said
    assert "PYDANTIC" not in said


def test_lines_without_a_terminal_say_all_of_a_reused_step(folder: Path) -> None:
    first = mlpipe(folder, "run", "pipeline.yml").stdout
    assert first.count("said:1") == 2  # when it was registered, and in the table of a run that ran something
    second = mlpipe(folder, "run", "pipeline.yml").stdout.splitlines()
    [line] = [line for line in second if line.startswith("say")]
    assert line.startswith("say  reused  identical to run local__")
    assert line.endswith("; registered said:1")
    assert second[-1].startswith("0 ran, 1 reused")
    assert len(second) == 4


ENDING = """
import atexit, sys
from airflow_mlpipe.cli import main
code = main.main()
atexit.register(print, "exit handler")
sys.stdout.write("no line end")
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("words", "code"), [(["validate", "pipeline.yml"], 0), (["validate", "none.yml"], 2), (["x"], 2)]
)
def test_the_process_ends_with_the_code_of_the_command_after_its_exit_handlers(
    folder: Path, words: list[str], code: int
) -> None:
    command = [sys.executable, "-c", ENDING, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.endswith("no line endexit handler\n") or words == ["x"]
    assert "Traceback" not in done.stderr
