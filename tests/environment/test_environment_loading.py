"""Reading environments in Azure ML's forms, and what counts of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.environment import EnvironmentDefinition, load_environment
from airflow_mlpipe.errors import ConfigError, DataError, MLPipeError

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
CONDA = """
name: flights
channels: [conda-forge, defaults]
dependencies:
  - python=3.10
  - pip=21.2.4
  - numpy=1.26
  - conda-forge::lightgbm >=4
  - pip:
      - pandas==2.2.3   # the frame
      - -r more.txt
"""


def test_a_conda_file(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "conda.yml").write_text(CONDA)
    (tmp_path / "env" / "more.txt").write_text("scikit-learn\n")
    found = load_environment({"conda_file": "env/conda.yml", "image": "mcr.microsoft.com/x:1", "name": "x"}, tmp_path)
    assert found == EnvironmentDefinition(
        python="3.10",
        pip=("pandas==2.2.3", "scikit-learn"),
        conda=("numpy=1.26", "conda-forge::lightgbm >=4"),
        image="mcr.microsoft.com/x:1",
        channels=("conda-forge", "defaults"),
    )
    assert found.identity() == {
        "python": "3.10",
        "pip": {"pandas": "pandas==2.2.3", "scikit-learn": "scikit-learn"},
        "conda": {"lightgbm": "conda-forge::lightgbm >=4", "numpy": "numpy=1.26"},
        "image": "mcr.microsoft.com/x:1",
        "channels": ["conda-forge", "defaults"],
    }


@pytest.mark.parametrize(
    ("dependency", "python"),
    [
        ("python", OWN),
        ("python=3.11", "3.11"),
        ("python==3.11.7", "3.11.7"),
        ("python = 3.11.*", "3.11"),
        ("python 3.9", "3.9"),
        ("python>=3.10, <3.13", ">=3.10,<3.13"),
        ("Python=3", "3"),
    ],
)
def test_the_python_version_of_a_conda_file(tmp_path: Path, dependency: str, python: str) -> None:
    assert load_environment({"conda_file": {"dependencies": [dependency]}}, tmp_path).python == python


def test_requirements_follow_other_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "requirements.txt").write_text(
        "\ufeff# header\npandas == 2.2.3 \\\n  ; python_version >= '3.9'\n\n-r sub/a.txt # more\n"
        "--constraint=limits.txt\n"
        "torch @ https://example.org/torch-2.0-py3-none-any.whl\nx==1 --hash=sha256:00ff --hash=sha256:11ff\n",
        encoding="utf-8",
    )
    (tmp_path / "sub" / "a.txt").write_text("-r../b.txt\r\nscikit_learn[extra]~=1.5\r\n")
    (tmp_path / "b.txt").write_text("requests\n")
    (tmp_path / "limits.txt").write_text("numpy<2\n-r b.txt\n")
    found = load_environment({"pip_requirements": "requirements.txt"}, tmp_path)
    assert found.pip == (
        "pandas == 2.2.3 ; python_version >= '3.9'",
        "requests",
        "scikit_learn[extra]~=1.5",
        "torch @ https://example.org/torch-2.0-py3-none-any.whl",
        "x==1 --hash=sha256:00ff --hash=sha256:11ff",
    )
    assert found.constraints == ("numpy<2", "requests")
    assert found.files() == {
        "requirements.txt": "".join(f"{line}\n" for line in found.pip) + "-c constraints.txt\n",
        "constraints.txt": "numpy<2\nrequests\n",
    }
    assert found.identity()["pip"]["scikit-learn"] == "scikit_learn[extra]~=1.5"


def test_a_list_of_requirements_and_a_python_version(tmp_path: Path) -> None:
    found = load_environment({"pip_requirements": ["b", "a==1", "# nothing"], "python": 3.12}, tmp_path)
    assert found == EnvironmentDefinition(python="3.12", pip=("b", "a==1"))
    assert load_environment({"pip_requirements": []}, tmp_path) == EnvironmentDefinition(python=OWN)
    assert load_environment({"image": "python:3.11"}, tmp_path) == EnvironmentDefinition(image="python:3.11")


def test_a_file_elsewhere_may_name_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    (tmp_path / "flow").mkdir()
    (tmp_path / "envs" / "r.txt").write_text("-r more.txt\n")
    (tmp_path / "envs" / "more.txt").write_text("pandas\n")
    assert load_environment({"pip_requirements": "../envs/r.txt"}, tmp_path / "flow").pip == ("pandas",)


def test_order_comments_and_blanks_do_not_count(tmp_path: Path) -> None:
    one = load_environment({"pip_requirements": ["a==1", "b", "b ; sys_platform == 'linux'"]}, tmp_path)
    two = load_environment({"pip_requirements": ["b ; sys_platform == 'linux'", "b", "a==1"]}, tmp_path)
    three = load_environment(
        {"pip_requirements": ["", "b # c", "b  ;  sys_platform == 'linux'", "a==1", "a==1"]}, tmp_path
    )
    assert one.identity() == two.identity() == three.identity()
    assert one.identity()["pip"] == {"a": "a==1", "b": ["b", "b ; sys_platform == 'linux'"]}
    other = load_environment({"pip_requirements": ["a==2", "b", "b ; sys_platform == 'linux'"]}, tmp_path)
    assert other.identity() != one.identity()


def test_channels_count_only_with_conda_packages() -> None:
    assert EnvironmentDefinition(pip=("a",), channels=("x",)).identity() == {"pip": {"a": "a"}}
    assert EnvironmentDefinition().identity() == {}


def test_a_definition_survives_json() -> None:
    full = EnvironmentDefinition("3.11", ("a",), ("b",), "c", ("d",), ("e", "f"))
    for definition in (full, EnvironmentDefinition()):
        assert EnvironmentDefinition.from_json(json.loads(json.dumps(definition.to_json()))) == definition


@pytest.mark.parametrize("value", [{"pyhton": "3"}, {"pip": "pandas"}, {"pip": [1]}, {"python": 3.1}, [], None])
def test_what_is_no_definition_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="No definition of an environment"):
        EnvironmentDefinition.from_json(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "nothing to install"),
        ({"name": "x"}, "nothing to install"),
        ({"conda": "x"}, "unknown key 'conda'"),
        ({"build": {"path": "."}}, "build is not supported"),
        ({"image": ""}, "image is ''"),
        ({"image": "x", "os_type": "windows"}, "only linux"),
        ({"conda_file": "c", "pip_requirements": "r"}, "stands beside"),
        ({"conda_file": 3}, "conda_file is 3"),
        ({"conda_file": {"dependencies": "python"}}, "write a list"),
        ({"conda_file": {"dependencies": [{"npm": []}]}}, "is not understood"),
        ({"conda_file": {"dependencies": ["python=3.11=h1"]}}, "Python version '3.11=h1' is not understood"),
        ({"conda_file": {"dependencies": ["a b; rm -rf"], "variables": {}}}, "environment_variables"),
        ({"conda_file": {"dependencies": ["$(touch x)"]}}, "is not understood"),
        ({"conda_file": {"dependencies": [], "dependancies": []}}, "unknown key 'dependancies'"),
        ({"conda_file": {"dependencies": [], "channels": "x"}}, "channels is 'x'"),
        ({"pip_requirements": 3}, "pip_requirements is 3"),
        ({"pip_requirements": [3]}, "3 is not a requirement line"),
        ({"pip_requirements": ["a"], "python": "newest"}, "'newest' is not understood"),
        ({"pip_requirements": "a\0b"}, "holds a zero byte"),
        ({"conda_file": "a\0b"}, "holds a zero byte"),
    ],
)
def test_wrong_definitions_are_told_in_plain_words(tmp_path: Path, value: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_environment(value, tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-i https://example.org/simple", "the option -i cannot be used here.*pip.conf"),
        ("--find-links=https://example.org/x", "the option --find-links cannot"),
        ("--pre", "the option --pre cannot"),
        ("-e .", "local files"),
        ("./pkg", "local files"),
        ("../pkg", "local files"),
        ("/srv/pkg", "local files"),
        ("file:///srv/pkg", "local files"),
        ("pkg @ file:///srv/pkg", "local files"),
        ("pkg-1.0-py3-none-any.whl", "local files"),
        ("pkg==${VERSION}", "holds a variable"),
        ("pkg @ https://user:secret@example.org/pkg.whl", "user name or password"),
        ("pandas=2.2", "is not a requirement"),
        ("pandas==2.2 --config-settings x", "is not a requirement"),
        ("a b", "is not a requirement"),
        ("-e git+https://user:secret@example.org/pkg", "user name or password"),
        ("-r https://user:secret@example.org/r.txt", "user name or password"),
        ("-r ../outside.txt", "lies outside"),
        ("-r ring.txt", "cannot be read|lies outside"),
        ("-r requirements.txt", "names itself"),
        ("-c loop.txt", "names itself"),
    ],
)
def test_lines_that_cannot_be_honoured_are_refused(tmp_path: Path, line: str, message: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (tmp_path / "outside.txt").write_text("secret\n")
    (base / "loop.txt").write_text("-r loop.txt\n")
    (base / "ring.txt").symlink_to("ring.txt")
    (base / "requirements.txt").write_text(f"pandas\n{line}\n")
    with pytest.raises(MLPipeError, match=message) as caught:
        load_environment({"pip_requirements": "requirements.txt"}, base)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [{"conda_file": "no.yml"}, {"pip_requirements": "no.txt"}, {"pip_requirements": ["-r no.txt"]}]
)
def test_a_missing_file_is_named_with_its_place(tmp_path: Path, value: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=rf"no\.\w+.*cannot be read: No such file.*{tmp_path}"):
        load_environment(value, tmp_path)


@pytest.mark.parametrize(
    "text", ["a: [", "- a\n", "", "!!python/object/apply:os.system ['touch pwned']", "\x00", "dependencies: [\ud800]"]
)
def test_a_file_that_is_no_conda_file_is_refused(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conda.yml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(MLPipeError, match="conda"):
        load_environment({"conda_file": "conda.yml"}, tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_requirements_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_environment({"pip_requirements": "r.txt"}, tmp_path)
