"""A build that goes on when the connection ends: started by one caller, waited for by any number.

build FOLDER ATTEMPT
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.far_side.desk import spawn
from airflow_mlpipe.compute.far_side.environment import (
    LOG,
    Build,
    building,
    environment_folder,
    python_of,
    usable,
)
from airflow_mlpipe.compute.far_side.interpreters import BuildError
from airflow_mlpipe.compute.far_side.launcher import leave_caller

_CHUNK = 65536


class Builder:
    """The environments of one folder.

    :param folder: where they are kept.
    :param program: the words that start the far side.
    """

    def __init__(self, folder: Path, program: Sequence[str]) -> None:
        self.folder = folder
        self.program = list(program)

    def look(self, request: dict[str, Any], attempt: str, cursor: int) -> dict[str, Any]:
        """Return ``{"python"}`` of a built environment, ``{"error"}`` of this attempt, or what the build has said.

        Without one a build is started, in the background. Ask again until it has ended.

        :param attempt: any text of the caller's own; a failure of somebody else's attempt is no answer.
        :param cursor: how much of the log the caller knows; -1 for one that has not seen a build yet.
        :raises OSError: if the folder cannot be written.
        """
        place = environment_folder(self.folder, request["identity"])
        if usable(place):
            return {"python": str(python_of(place)), **_said(place, cursor)}
        started = False
        with building(place) as lock:
            free = lock is not None
        if free:
            failure = _failure(place)
            if failure.get("attempt") == attempt:
                return {"error": failure.get("text", ""), **_said(place, cursor)}
            _request_file(place).write_text(json.dumps(request), encoding="ascii")
            spawn([*self.program, "build", str(place), attempt], place)
            started, cursor = True, 0
        return {"started": started, **_said(place, max(cursor, 0))}


def main(arguments: list[str]) -> None:
    """Build the environment of a folder in the background, unless somebody else does."""
    place, attempt = Path(arguments[0]), arguments[1]
    answer = leave_caller()
    with building(place) as lock:
        os.write(answer, b"claimed" if lock else b"taken")
        os.close(answer)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        if lock is None or usable(place):
            return
        try:
            Build(json.loads(_request_file(place).read_bytes()), place, lock, lambda _line: None).run()
            text = ""
        except BuildError as error:
            text = str(error)
        except OSError as error:
            text = f"The environment cannot be built in {place}: {error}. Check the folder's rights and the free space."
        if text:
            _failure_file(place).write_text(json.dumps({"attempt": attempt, "text": text}), encoding="ascii")


def _request_file(place: Path) -> Path:
    return place.with_suffix(".request")


def _failure_file(place: Path) -> Path:
    return place.with_suffix(".failed")


def _failure(place: Path) -> dict[str, Any]:
    try:
        value = json.loads(_failure_file(place).read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _said(place: Path, cursor: int) -> dict[str, Any]:
    """Return what the build has said since the caller looked last, whole lines."""
    text = _read(place / LOG, cursor) if cursor >= 0 else b""
    return {"text": text.decode("utf-8", "replace"), "cursor": cursor + len(text)}


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(_CHUNK)
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]
