"""One job's folder: how it is laid out, what it says of the job, and how the job is ended.

<workdir>/<key>/            appears whole, by a rename
    spec.json               what to run, for the launcher
    code/                   the job's working folder, a fresh copy of its source
    files/                  $MLPIPE_JOB_DIR
    inputs/  outputs/       data, where the job cannot see that of whoever submits it
    metrics.jsonl  log.txt  what the job says
    claim.json              who runs it; the first launcher to link it
    cancel                  its end was asked for; holds the grace in seconds
    outputs.json            SHA-256 of every file of the outputs that are to be fetched
    exit.json               how it ended; the first to link it decides, for ever
<workdir>/submissions.jsonl one line for each start of a command
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from airflow_mlpipe.compute.far_side import processes, records
from airflow_mlpipe.compute.far_side.carrier import leave_grants
from airflow_mlpipe.compute.far_side.records import put_new

_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,51}")
QUEUE_GRACE = 60.0
"""Seconds in which a staged job's launcher must show up."""
STALE_HEARTBEAT = 30.0
"""Seconds without a sign of life after which a launcher that we cannot look at counts as gone."""


class StillRunningError(Exception):
    """Something was asked of a job that only an ended one can give."""


def valid_key(key: object) -> bool:
    """Whether a run key is one: anything else never becomes a path."""
    return isinstance(key, str) and _KEY.fullmatch(key) is not None


@dataclass(frozen=True)
class ExitRecord:
    """How a job ended; what ``exit.json`` says, checked.

    :param reason: empty, or ``timeout``, ``cancelled``, ``terminated``, ``orphaned``, ``error``, ``lost``, ``damaged``.
    """

    reason: str
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    seconds: float | None = None
    metrics: tuple[dict[str, Any], ...] = ()


class _Claim(NamedTuple):
    pid: int
    start: str
    here: bool
    """Whether the number means a process that we can see: same boot, same container."""


class JobFolder:
    """The folder of one job.

    :param root: the target's working folder, absolute and without symlinks.
    :param key: a valid run key.
    """

    def __init__(self, root: Path, key: str) -> None:
        self.root, self.key, self.path = root, key, root / key
        self.marks = processes.marks_of(key, self.path)

    @property
    def log(self) -> Path:
        """Where the job's output is."""
        return self.path / records.LOG

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep all other processes from staging this job; let go when the process dies."""
        locks = self.root / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        path = locks / self.key
        while True:
            with path.open("ab") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                if path.exists() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                    yield
                    return

    def stage(self, spec: dict[str, Any], python: str, fill: Callable[[Path], None]) -> None:
        """Lay out the folder, whole or not at all; call it under :meth:`lock`.

        :param spec: what the launcher needs to know, plain values: ``command``, ``variables``, ``folders``,
            ``timeout``, as ``outputs`` the port and place of what is to be fetched later, and as ``grants`` the data
            that the job's machine moves by itself, with secrets: they go to a file of their own.
        :param python: the interpreter that ``python`` and ``python3`` shall mean in the job; a name without a slash
            leaves that to the machine.
        :param fill: lays the source, files and data of the job into the folder that it is given.
        """
        staging = self.root / f".staging-{self.key}"
        remove_tree(staging)
        staging.mkdir(mode=0o700, parents=True)
        (staging / records.FILES).mkdir()
        fill(staging)
        (staging / records.CODE).mkdir(exist_ok=True)
        search_path = [str(self.path / "bin")]
        if "/" in python:
            _shims(staging / "bin", Path(python))
            search_path.append(str(Path(python).parent))
        (staging / records.LOG).touch()
        leave_grants(staging, spec.get("grants", []))
        plain = {
            **{name: value for name, value in spec.items() if name != "grants"},
            "key": self.key,
            "search_path": search_path,
            "journal": str(self.root / "submissions.jsonl"),
        }
        (staging / records.SPEC).write_text(json.dumps(plain), encoding="ascii")
        staging.rename(self.path)

    def claimed(self) -> bool:
        """Whether a launcher has taken the job, or it has ended before one did."""
        return (self.path / records.CLAIM).exists() or (self.path / records.EXIT).exists()

    def exit_record(self) -> ExitRecord | None:
        """Return how the job ended, ``None`` if nobody has said so. Strange contents are a damaged record, no error."""
        path = self.path / records.EXIT
        try:
            return read_exit_record(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        except OSError:
            return read_exit_record(b"", str(path))

    def settle(self) -> ExitRecord | str:
        """Return how the job ended, or ``queued`` or ``running``. A job that died without a record gets one here."""
        record = self.exit_record()
        if record is not None:
            return record
        alive = self._alive()
        if alive:
            return alive
        return self.exit_record() or self._declare()

    def _alive(self) -> str:
        """Return ``queued`` or ``running``, or nothing if the job is gone or never came."""
        try:
            beat = (self.path / records.CLAIM).stat().st_mtime
        except OSError:
            return self._waiting()
        claim = self._claim()
        if claim is None:
            return ""
        if not claim.here:
            return "running" if time.time() - beat < STALE_HEARTBEAT else ""
        found = processes.process(claim.pid)
        return "running" if found and found.start == claim.start else ""

    def _claim(self) -> _Claim | None:
        """Return who claims the job, ``None`` if that is nobody or cannot be read."""
        try:
            value = json.loads((self.path / records.CLAIM).read_bytes())
            pid, start = value["pid"], value["start"]
            here = {name: value[name] for name in ("boot_id", "pid_namespace")} == processes.here()
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        valid = isinstance(pid, int) and isinstance(start, str) and 1 < pid < 1 << 31
        return _Claim(pid, start, here) if valid else None

    def _waiting(self) -> str:
        """Judge a job without a claim; past its time, take the claim so that a late launcher finds it taken."""
        try:
            age = time.time() - (self.path / records.SPEC).stat().st_mtime
        except OSError:
            return ""
        if not (self.path / records.CANCEL).exists() and (age < QUEUE_GRACE or self._waits()):
            return "queued"
        return "" if self._take() else "running"

    def _waits(self) -> bool:
        """Whether an engine starts the launcher when it pleases."""
        try:
            return json.loads((self.path / records.SPEC).read_bytes()).get("waits") is True
        except (OSError, ValueError, AttributeError, RecursionError):
            return False

    def _take(self) -> bool:
        """Claim the job for nobody; return whether no launcher has it."""
        with suppress(FileNotFoundError):
            return put_new(self.path / records.CLAIM, {"pid": 0, "start": "", **processes.here()})
        return True

    def give_up(self, reason: str = "lost", message: str = "") -> bool:
        """End the job unless a launcher has claimed it, so that one that comes later finds it taken.

        :param reason: as in :class:`ExitRecord`; empty message for the usual one.
        :return: whether it was us.
        """
        if not self.path.exists() or self.claimed() or not self._take():
            return False
        message = message or ("" if reason == "cancelled" else f"Nobody started the job {self.key}.")
        return put_new(self.path / records.EXIT, plain_exit(reason, message))

    def _declare(self) -> ExitRecord:
        """Write the exit record of a job whose launcher is gone, after ending whatever it left behind."""
        if not self.path.exists():
            return ExitRecord("lost", f"The job {self.key} is not known here: {self.path} does not exist.")
        processes.kill_all(self.marks)
        cancelled = (self.path / records.CANCEL).exists()
        message = (
            ""
            if cancelled
            else (
                "The process is gone without an exit record: the machine restarted, or it was killed. "
                f"Its log: {self.log}"
            )
        )
        put_new(self.path / records.EXIT, plain_exit("cancelled" if cancelled else "lost", message))
        return self.exit_record() or ExitRecord("lost", message)

    def ask_to_end(self, grace: float) -> bool:
        """Ask the launcher to end the job; return whether there is anything to wait for."""
        if isinstance(self.settle(), ExitRecord):
            return False
        temporary = self.path / f".{records.CANCEL}.{os.getpid()}.{time.monotonic_ns()}"
        temporary.write_text(f"{max(0.0, grace)}")
        temporary.replace(self.path / records.CANCEL)
        self._signal_launcher(signal.SIGTERM)
        return True

    def force_end(self) -> None:
        """Kill the launcher and every process of the job, and write the record it can no longer write."""
        self._signal_launcher(signal.SIGKILL)
        processes.kill_all(self.marks)
        self.settle()

    def _signal_launcher(self, number: signal.Signals) -> None:
        """Signal the process of the claim; never another one that got its number."""
        claim = self._claim()
        if claim is None or not claim.here:
            return
        with suppress(OSError):
            processes.signal_one(claim.pid, claim.start, number)

    def launcher_descriptor(self) -> int | None:
        """Return a descriptor, to be closed by the caller, that becomes readable when the job's launcher ends.

        ``None`` if there is no launcher that can be seen from here.

        :raises ProcessLookupError: if it has ended.
        """
        claim = self._claim()
        return processes.descriptor_of(claim.pid, claim.start) if claim is not None and claim.here else None

    def read_log(self, offset: int, limit: int) -> tuple[bytes, bool]:
        """Return output from a byte on, and whether it is all there will ever be."""
        ended = isinstance(self.settle(), ExitRecord)
        try:
            with self.log.open("rb") as stream:
                stream.seek(offset)
                data = stream.read(limit)
                return data, ended and stream.read(1) == b""
        except FileNotFoundError:
            return b"", True

    def outputs(self) -> dict[str, Any] | None:
        """Return the digests that the launcher left of the outputs, ``{port: {path: [size, sha256]}}``, if it did."""
        try:
            value = json.loads((self.path / records.DIGESTS).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def remove(self) -> None:
        """Remove everything of a job that has ended.

        :raises StillRunningError: if it has not.
        """
        if not self.path.exists():
            return
        if not isinstance(self.settle(), ExitRecord):
            raise StillRunningError(f"The job {self.key} has not ended, so its folder stays. Cancel it first.")
        trash = self.root / f".removed-{self.key}"
        remove_tree(trash)
        with suppress(FileNotFoundError):
            self.path.rename(trash)
        remove_tree(trash)
        (self.root / ".locks" / self.key).unlink(missing_ok=True)


def read_exit_record(data: bytes, where: str) -> ExitRecord:
    """Return what an exit record says. Strange contents are a damaged record, no error.

    :param where: names it for people.
    """
    try:
        value = json.loads(data)
        reason, message, code, number = (value[name] for name in ("reason", "message", "exit_code", "signal"))
        seconds, metrics = value["seconds"], tuple(value["metrics"])
        typed = (isinstance(reason, str), isinstance(message, str), _whole(code), _whole(number))
        if all(typed) and all(_is_metric(metric) for metric in metrics) and isinstance(seconds, (int, float)):
            return ExitRecord(reason, message, code, number, float(seconds), metrics)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return ExitRecord("damaged", f"The exit record {where} is damaged, so how the job ended is not known.")


def plain_exit(reason: str, message: str) -> dict[str, Any]:
    """Return the exit record of a job whose launcher cannot write one."""
    return {
        "reason": reason,
        "message": message,
        "exit_code": None,
        "signal": None,
        "seconds": 0.0,
        "metrics": [],
    }


def _whole(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _is_metric(value: object) -> bool:
    return (
        isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(value.get("value"), (int, float))
    )


def _shims(folder: Path, python: Path) -> None:
    """Let ``python`` and ``python3`` mean this interpreter where its own folder says otherwise."""
    folder.mkdir()
    for name in ("python", "python3"):
        own = python.parent / name
        if not (own.exists() and own.samefile(python)):
            shim = folder / name
            shim.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n', encoding="utf-8")
            shim.chmod(0o755)


def remove_tree(path: Path) -> None:
    """Remove a folder and all below it, also folders that were made read-only; silent if there is nothing."""
    if not path.exists():
        return
    for folder, _, _ in os.walk(path):
        with suppress(OSError):
            Path(folder).chmod(0o700)
    shutil.rmtree(path)
