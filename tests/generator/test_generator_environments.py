"""The same pipeline gives the same bytes in twenty environments, and however the keys of its file are ordered.

The environments are shared out among the Pythons of this machine; with ``MLPIPE_EVERY_PYTHON=1`` (``make bytes``) each
Python goes through all of them.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_mlpipe.generator import Renderer, build
from airflow_mlpipe.spec import load_pipeline
from tests.conftest import ROOT
from tests.generator.interpreters import Python, generating_pythons

HERE = Path(__file__).parent
CONTENT = frozenset({"jobs", "inputs", "outputs", "environment_variables", "tags", "dependencies"})
"""Mappings whose order says something: of steps, of parameters in the trigger form."""
ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Pacific/Auckland", "Asia/Kathmandu")
LOCALES = ("C", "C.UTF-8", "tr_TR.UTF-8", "de_DE.ISO-8859-1")
UMASKS = ("022", "077", "002", "027")
ENVIRONMENTS = [(seed, ZONES[seed % 5], LOCALES[seed % 4], UMASKS[seed // 5], seed % 2) for seed in range(20)]

EVERY = bool(os.environ.get("MLPIPE_EVERY_PYTHON"))

PROGRAM = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[1], 8))
from airflow_mlpipe.generator import Renderer, build, write_file
from airflow_mlpipe.spec import load_pipeline
[file] = build([load_pipeline(Path(sys.argv[2]))], Path(sys.argv[3]), Renderer())
write_file(file.path, file.text)
assert "airflow" not in sys.modules
"""


def shuffled(value: Any, order: random.Random, keep: bool = False) -> Any:
    """The same data with its keys in another order, but for those whose order says something."""
    if not isinstance(value, dict):
        return [shuffled(item, order) for item in value] if isinstance(value, list) else value
    keys = list(value)
    if not keep:
        order.shuffle(keys)
    return {key: shuffled(value[key], order, keep=key in CONTENT) for key in keys}


def write_project(folder: Path, seed: int) -> Path:
    """Write the flights pipeline as one line, so that no line number moves, and return its file."""
    source = HERE / "pipelines" / "flights"
    data = yaml.load((source / "pipeline.yml").read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    for path in source.rglob("*"):
        if path.is_file() and path.name != "pipeline.yml":
            (folder / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (folder / path.relative_to(source)).write_bytes(path.read_bytes())
    (folder.parent / "shared.py").touch()
    text = json.dumps(shuffled(data, random.Random(seed)), default=str)
    (folder / "pipeline.yml").write_text(text, encoding="utf-8")
    return folder / "pipeline.yml"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("reference")
    [file] = build([load_pipeline(write_project(folder / "spec", 0))], folder / "dags", Renderer())
    return file.text


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[Python]:
    """Find the interpreters, and say which they are."""
    found, remarks = generating_pythons(tmp_path_factory.mktemp("pythons"))
    versions = ", ".join(python.version for python in found)
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        sys.stdout.write("\n".join((f"\nDAG files are generated with Python {versions}", *remarks, "")))
    assert not (EVERY and remarks), remarks
    return found


@pytest.mark.parametrize(("seed", "zone", "locale", "umask", "relative"), ENVIRONMENTS)
def test_the_same_bytes(
    expected: str, pythons: list[Python], tmp_path: Path, seed: int, zone: str, locale: str, umask: str, relative: int
) -> None:
    spec = write_project(tmp_path / "spec", seed)
    cwd = tmp_path / "spec" if relative else Path("/")
    utf8 = {"PYTHONUTF8": "0"} if seed % 3 else {}
    settings = {"PYTHONHASHSEED": str(seed), "TZ": zone, "LC_ALL": locale, "PYTHONPATH": str(ROOT), **utf8}
    for python in pythons if EVERY else [pythons[(seed + seed // 4) % len(pythons)]]:
        dags = tmp_path / f"dags-{python.version}"
        names = [os.path.relpath(path, cwd) if relative else str(path) for path in (spec, dags)]
        words = [str(python.program), "-c", PROGRAM, umask, *names]
        subprocess.run(words, env={**os.environ, **settings}, cwd=cwd, check=True)
        [written] = dags.iterdir()
        assert written.read_bytes() == expected.encode(), python
        assert oct(written.stat().st_mode & 0o777) == oct(0o666 & ~int(umask, 8))


def test_the_order_of_keys_differs() -> None:
    data = {"type": "pipeline", "name": "x", "description": "y", "jobs": {"b": 1, "a": 2}}
    orders = {tuple(shuffled(data, random.Random(seed))) for seed in range(20)}
    assert len(orders) > 5
    assert list(shuffled(data, random.Random(3))["jobs"]) == ["b", "a"]
