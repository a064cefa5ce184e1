"""DVC as the peer: from PyPI, in a virtual environment of its own outside this project's."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from benchmarks.measure import Sample, run_process
from benchmarks.peer_environment import install

CONSTRAINTS = Path(__file__).with_name("constraints-dvc.txt")
UP_TO_DATE = "Data and pipelines are up to date."


def version() -> str:
    """Return the pinned version of DVC."""
    pins = dict(line.split(";")[0].strip().split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    return pins["dvc"]


def environment_folder(cache: Path) -> Path:
    """Return where the virtual environment of these pins and this Python lies in a cache folder."""
    what = CONSTRAINTS.read_bytes() + sys.version.encode()
    return cache / "airflow-mlpipe" / f"dvc-{version()}-{hashlib.sha256(what).hexdigest()[:12]}"


def ensure() -> Path:
    """Return the ``dvc`` command; installed, and compiled as pip would, when it is not there yet.

    :raises BenchmarkError: if it cannot be installed, with what the installer said.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return install(environment_folder(cache), ["dvc"], [CONSTRAINTS]) / "dvc"


def environment(folder: Path) -> dict[str, str]:
    """Return environment variables under which DVC calls nobody and keeps everything in the project's folder."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    places = {
        f"DVC_{name}_DIR": str(folder / ".dvc" / name.lower())
        for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")
    }
    return {**kept, **places, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}


def start_project(dvc: Path, folder: Path, stages: str) -> None:
    """Make a folder a DVC project, without git and without analytics, and compute its stages once."""
    (folder / "dvc.yaml").write_text(stages)
    _dvc(dvc, folder, "init", "--quiet", "--no-scm")
    for setting in ("analytics", "check_update"):
        _dvc(dvc, folder, "config", f"core.{setting}", "false")
    _dvc(dvc, folder, "repro")


def no_op(dvc: Path, folder: Path) -> Sample:
    """Run ``dvc repro`` where nothing has changed.

    :raises BenchmarkError: if it ran a stage.
    """
    return _dvc(dvc, folder, "repro", expect=UP_TO_DATE)


def _dvc(dvc: Path, folder: Path, *words: str, expect: str = "") -> Sample:
    return run_process([dvc, *words], folder, environment(folder), expect)
