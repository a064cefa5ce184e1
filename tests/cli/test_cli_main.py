"""The frame of the command line: help, unknown commands, errors and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlpipe import __version__
from airflow_mlpipe.cli import main as main_module
from airflow_mlpipe.cli.main import COMMANDS, main

GOOD = "type: pipeline\njobs:\n  hello: {type: command, command: echo hello}\n"
BAD = "type: pipeline\njobs:\n  hello: {type: command, comand: echo hello}\n"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yml"
    path.write_text(GOOD)
    return path


def mlpipe(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airflow_mlpipe.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def code_of(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as end:
        return int(end.code or 0)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(["--version"]) == 0
    assert capsys.readouterr().out == f"mlpipe {__version__}\n"


def test_help_names_every_command_and_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n    {name}" in out for name in COMMANDS)
    assert "mlpipe init flights" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: mlpipe {command}" in out
    assert "examples:\n  mlpipe " in out


def test_help_never_loses_text_in_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(["generate", "--help"])
    assert "[PATH ...]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "COMMAND"),
        (["genrate"], "Did you mean 'generate'?"),
        (["generate"], "PATH"),
        (["validate", "--jso", "x"], "--jso"),
        (["generate", "x"], "-o/--output"),
    ],
)
def test_bad_usage_is_exit_code_2(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(words) == 2
    assert hint in capsys.readouterr().err


def test_only_the_command_that_is_called_is_imported(good: Path) -> None:
    program = (
        "import sys; from airflow_mlpipe.cli.main import main; "
        f"main(['validate', {str(good)!r}]); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'airflow', 'rich', 'jinja2', 'rich_argparse'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unexpected_error_is_short_and_has_a_traceback_only_on_demand(tmp_path: Path) -> None:
    trap = (
        "import airflow_mlpipe.cli.schema as s, sys; s.run = lambda a: 1 // 0; "
        "from airflow_mlpipe.cli.main import main; "
    )
    plain, wanted = (
        subprocess.run([sys.executable, "-c", f"{trap}sys.exit(main({words!r}))"], capture_output=True, text=True)
        for words in (["schema"], ["schema", "--debug"])
    )
    assert plain.returncode == wanted.returncode == 1
    assert "ZeroDivisionError" in plain.stderr
    assert "--debug" in plain.stderr
    assert "Traceback" not in plain.stderr
    assert "Traceback" in wanted.stderr


def test_ctrl_c_is_exit_code_130() -> None:
    trap = (
        "import airflow_mlpipe.cli.schema as s, os, signal, sys; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell's background job is started deaf to it
        "s.run = lambda a: os.kill(os.getpid(), signal.SIGINT); "
        "from airflow_mlpipe.cli.main import main; sys.exit(main(['schema']))"
    )
    done = subprocess.run([sys.executable, "-c", trap], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (main_module.INTERRUPTED, "Stopped.\n")


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m airflow_mlpipe.cli.main schema | head -c 10; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_text_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text("type: pipeline\nZürich: 1\njobs: {}\n")
    done = mlpipe("validate", str(tmp_path / "p.yml"), PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "Z\\xfcrich" in done.stderr
