"""The Pythons of this machine that DAG files can be generated with.

The running one is always among them. Others get a virtual environment with what the generator needs and nothing else:
no Airflow. That takes uv, and packages that uv has or can fetch; where it is not possible, the reason is told.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
NEEDED = ("croniter", "jinja2", "msgspec", "pathspec", "pydantic", "pyyaml", "tomli", "tzlocal")
_WHICH = "import sys; print('%d.%d' % sys.version_info[:2])"


@dataclass(frozen=True)
class Python:
    """An interpreter that can import the generator.

    :param version: ``3.12``.
    """

    version: str
    program: Path


def running() -> Python:
    """Return the interpreter of these tests."""
    return Python("{}.{}".format(*sys.version_info[:2]), Path(sys.executable))


def generating_pythons(folder: Path) -> tuple[list[Python], list[str]]:
    """Return the running Python and one of each other version that is here, and what is said of those that are not.

    :param folder: where the virtual environments go.
    """
    pythons, remarks = [running()], []
    for version in VERSIONS:
        if version == pythons[0].version:
            continue
        program = _installed(version)
        reason = f"Python {version} is not installed" if program is None else ""
        if program is not None:
            reason = _equip(program, folder / version)
        if reason:
            remarks.append(reason)
        else:
            pythons.append(Python(version, folder / version / "bin" / "python"))
    return pythons, remarks


def _installed(version: str) -> Path | None:
    """Look on the PATH, then where pyenv and uv put theirs; a shim of pyenv may be there and not run."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    managed = Path.home() / ".local" / "share" / "uv" / "python"
    on_path = shutil.which(f"python{version}")
    kept = [*pyenv.glob(f"{version}.*/bin/python"), *managed.glob(f"cpython-{version}.*/bin/python")]
    for program in [*([Path(on_path)] if on_path else []), *sorted(kept)]:
        done = subprocess.run([program, "-c", _WHICH], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return program
    return None


def _equip(program: Path, folder: Path) -> str:
    """Make a virtual environment; return why it could not be made, nothing if it could."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if uv is None:
        return f"Python {program} is not used: there is no uv to give it the generator's packages"
    install = [uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python"]
    for words in (
        [uv, "venv", "--quiet", "--python", program, folder],
        [*install, "-c", ROOT / "constraints.txt", *NEEDED],
    ):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"Python {program} is not used: {done.stderr.strip()[-300:]}"
    return ""
