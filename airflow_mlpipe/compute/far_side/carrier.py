"""A job's data that its own machine moves: inputs before the command starts, outputs after it has ended well."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any, Callable

from airflow_mlpipe.compute.far_side.records import GRANTS

_TICK = 0.25


def leave_grants(folder: Path, grants: list[dict[str, Any]]) -> None:
    """Lay rights beside a job, for the eyes of its user alone."""
    if grants:
        descriptor = os.open(folder / GRANTS, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            json.dump(grants, stream)


class Carrier:
    """Moves the data of one job. Takes its rights out of the job's folder, so that the command does not find them.

    :param folder: of the job, which the caller has claimed.
    """

    def __init__(self, folder: Path) -> None:
        self._grants: list[dict[str, Any]] = []
        with contextlib.suppress(FileNotFoundError):
            self._grants = json.loads((folder / GRANTS).read_bytes())
            (folder / GRANTS).unlink()

    def fetch(self) -> None:
        """Copy the inputs.

        :raises TransferError: if one does not arrive.
        """
        from airflow_mlpipe.compute.far_side import blobs  # noqa: PLC0415 - whoever only plans jobs imports this too

        for grant in self._grants:
            if grant["role"] == "input":
                blobs.fetch(grant["data"], Path(grant["place"]))

    def send(self) -> None:
        """Copy the outputs.

        :raises TransferError: if one does not arrive.
        """
        from airflow_mlpipe.compute.far_side import blobs  # noqa: PLC0415 - as above

        for grant in self._grants:
            if grant["role"] == "output":
                blobs.send(Path(grant["place"]), grant["data"])

    def during(self, work: Callable[[], None], look: Callable[[], bool]) -> None:
        """Do a piece of work beside the caller, who looks after the job meanwhile.

        :param look: says whether to go on; if not, the work is left alone.
        :raises OSError: what the work raised.
        """
        if not self._grants:
            return
        ended = threading.Event()
        errors: list[BaseException] = []
        threading.Thread(target=_run, args=(work, errors, ended), daemon=True).start()
        while not ended.wait(_TICK):
            if not look():
                return
        if errors:
            raise errors[0]


def _run(work: Callable[[], None], errors: list[BaseException], ended: threading.Event) -> None:
    try:
        work()
    except OSError as error:
        errors.append(error)
    except Exception as error:  # noqa: BLE001 - it is told to whoever waits
        errors.append(OSError(f"{type(error).__name__}: {error}"))
    ended.set()
