"""What all benchmarks are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How to measure.

    :param folder: an empty folder for this benchmark alone; removed afterwards.
    :param repeats: rounds of each comparison.
    :param say: told what goes on, a line at a time.
    """

    folder: Path
    repeats: int
    say: Callable[[str], None]


def mlpipe() -> Path:
    """Return the ``mlpipe`` command beside the running interpreter."""
    return Path(sys.executable).parent / "mlpipe"


def environment() -> dict[str, str]:
    """Return environment variables that neither slow nor steer the command; compiled files are kept, as at a user's."""
    steering = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "MLPIPE_WORKSPACE", "MLPIPE_DEBUG")
    return {name: value for name, value in os.environ.items() if name not in steering}
