"""What a process of the command line leaves out because it ends soon."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress


class ShortLife:
    """Makes this process a short one.

    - Garbage is hardly collected. Python does it after 700 new objects, which is too often for a start that makes a
      hundred thousand; the end of the process frees them.
    - Pydantic does not look for plug-ins, for which it would read the metadata of every installed package. The variable
      that says so does not reach jobs, which get a few named variables only; ``generate`` does without it, because it
      starts Airflow.
    - Once every exit handler has run, the process ends without taking its modules apart one by one, as mypy does.

    :param words: of the command line.
    :ivar code: exit code of the command; ``None`` while it is not known: the process then ends in the usual way.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.code: int | None = None
        gc.set_threshold(200_000, 50, 50)
        if "generate" not in words:
            os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        atexit.register(self._end)  # the first that is registered is the last that runs

    def _end(self) -> None:
        if self.code is not None:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            os._exit(self.code)
