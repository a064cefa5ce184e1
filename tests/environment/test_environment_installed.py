"""What is installed beside an interpreter."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_mlpipe.environment import installed_packages
from airflow_mlpipe.errors import ConfigError


def test_our_own_packages_are_those_that_importlib_metadata_knows() -> None:
    found = installed_packages()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    for name in ("pydantic", "pydantic-core", "pyyaml", "blake3", "airflow-mlpipe"):
        assert found[name] == version(name)
    names = list(found)[1:]
    assert names == sorted(names)


def test_asking_for_ourselves_by_path_gives_the_same(tmp_path: Path) -> None:
    launcher = tmp_path / "python"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    launcher.chmod(0o755)
    assert installed_packages(str(launcher)) == installed_packages()


def test_another_interpreter_is_asked(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    assert list(installed_packages(str(python))) == ["python"]
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    (site / "My.Package_x-1.0.post1.dist-info").mkdir()
    (site / "old_tool-2.0-py3.9.egg-info").mkdir()
    (site / "bare.egg-info").mkdir()
    (site / "bare.egg-info" / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: bare\nVersion: 3\n")
    again = tmp_path / "venv" / "bin" / "python3"  # another path: answers are kept for each path
    found = installed_packages(str(again))
    del found["python"]
    assert found == {"bare": "3", "my-package-x": "1.0.post1", "old-tool": "2.0"}


def test_the_answer_is_the_callers_own() -> None:
    installed_packages()["pydantic"] = "0"
    assert installed_packages()["pydantic"] == version("pydantic")


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false", "/bin/echo"])
def test_an_interpreter_that_does_not_answer_is_told(python: str) -> None:
    with pytest.raises(ConfigError, match="cannot be asked what is installed"):
        installed_packages(python)
