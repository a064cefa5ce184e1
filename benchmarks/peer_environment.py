"""Virtual environments of peers: from PyPI, pinned, kept in the user's cache folder, outside this project's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from uv import find_uv_bin

from benchmarks.measure import BenchmarkError

_READY = ".mlpipe-ready"


def install(folder: Path, what: Sequence[str], constraints: Sequence[Path], python: str = sys.executable) -> Path:
    """Return the ``bin`` folder of an environment; made, and compiled as pip would, when it is not there yet.

    :raises BenchmarkError: if something cannot be installed, with what the installer said.
    """
    if not (folder / _READY).exists():
        pins = [word for file in constraints for word in ("--constraint", str(file))]
        _uv("venv", "--clear", "--python", python, str(folder))
        _uv("pip", "install", "--compile-bytecode", "--python", str(folder / "bin" / "python"), *pins, *what)
        (folder / _READY).touch()
    return folder / "bin"


def _uv(*words: str) -> None:
    done = subprocess.run([find_uv_bin(), "--quiet", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"A peer cannot be installed for the comparison: uv {words[0]}:\n{done.stderr[-3000:]}")
