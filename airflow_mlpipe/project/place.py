"""Where the project file of a folder lies."""

from __future__ import annotations

import os
from pathlib import Path

FILE_NAME = "mlpipe.toml"


def locate(start: Path) -> Path | None:
    """Return the nearest ``mlpipe.toml`` in a folder or above it, relative to the current folder of the process."""
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return Path(os.path.relpath(folder / FILE_NAME))
    return None
