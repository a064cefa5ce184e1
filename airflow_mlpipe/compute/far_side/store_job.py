"""A job whose folder nobody else sees: claim, log and exit record go to the store that its data lies in.

    unpack

Runs in a folder that holds ``job.json`` and the job's files by their SHA-256 in ``data/``. All that it writes to the
store are new blobs below the job's own prefix: ``claim.json``, pieces of the log named by their first byte, and last
``exit.json`` with the digests of the outputs.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.far_side import blobs
from airflow_mlpipe.compute.far_side.delivery import Delivery
from airflow_mlpipe.compute.far_side.desk import Desk
from airflow_mlpipe.compute.far_side.job_folder import JobFolder, remove_tree
from airflow_mlpipe.compute.far_side.launcher import Launcher
from airflow_mlpipe.compute.far_side.processes import identity
from airflow_mlpipe.compute.far_side.records import CLAIM, EXIT, LOG_PIECES, SPEC, put_new

_PIECE = 4 << 20
_FIRST_PAUSE, _GROWTH, _LONGEST_PAUSE = 1.0, 1.05, 30.0


class LogSender:
    """Sends what the job writes, in pieces; a job that runs for days sends larger ones less often.

    :param log: the file.
    :param grant: the right to create blobs below the job's prefix.
    """

    def __init__(self, log: Path, grant: dict[str, Any]) -> None:
        self.log, self.grant = log, grant
        self.offset = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to send, beside the job."""
        self._thread.start()

    def end(self) -> int:
        """Send the rest; return the size of the whole log.

        :raises TransferError: if it does not arrive.
        """
        self._ended.set()
        self._thread.join()
        while self._send():
            pass
        return self.offset

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._ended.wait(pause):
            pause = self._next_pause(pause)

    def _next_pause(self, pause: float) -> float:
        try:
            return min(pause * _GROWTH, _LONGEST_PAUSE) if self._send() else pause
        except OSError:
            return _LONGEST_PAUSE

    def _send(self) -> bool:
        with self.log.open("rb") as stream:
            stream.seek(self.offset)
            data = stream.read(_PIECE)
        if not data:
            return False
        blobs.put(f"{self.grant['url']}/{LOG_PIECES}/{self.offset:015d}-{len(data)}", self.grant["query"], data)
        self.offset += len(data)
        return True


def main(_arguments: list[str]) -> None:
    """Run the job that lies in the working folder; see the head of this file."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    place = Path("job.json")
    job = json.loads(place.read_bytes())
    place.unlink()  # it holds rights
    nonce = json.dumps({**identity(), "nonce": secrets.token_hex(16)}).encode()
    if not blobs.claim(job["claim"], nonce):
        sys.stderr.write("taken\n")
        return
    sys.stderr.write("claimed\n")
    try:
        _run(_lay_out(job), job["report"])
    finally:
        remove_tree(Path(job["workdir"]))


def _lay_out(job: dict[str, Any]) -> JobFolder:
    root = Path(job["workdir"])
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = Path(os.path.realpath(root))
    delivery = Delivery(Desk(root, []))
    incoming = Path(delivery.wanted(job["key"], [])["folder"])
    for file in Path("data").iterdir():
        shutil.copyfile(file, incoming / file.name)
    damaged = delivery.stage(job["key"], job["spec"], job["python"], job["layout"], {})
    if damaged:
        raise SystemExit(f"{len(damaged)} file(s) of the job are not what was sent.")
    folder = JobFolder(root, job["key"])
    if not put_new(folder.path / CLAIM, identity()):
        raise SystemExit(f"{folder.path} belongs to another job.")
    return folder


def _run(folder: JobFolder, report: dict[str, Any]) -> None:
    sender = LogSender(folder.log, report)
    sender.start()
    Launcher(folder.path, json.loads((folder.path / SPEC).read_bytes())).run()
    size = sender.end()
    record = json.loads((folder.path / EXIT).read_bytes())
    record.update(outputs=folder.outputs(), log_size=size)
    blobs.put(f"{report['url']}/{EXIT}", report["query"], json.dumps(record).encode())
