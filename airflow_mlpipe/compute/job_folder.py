"""One job's folder on this machine: how it is laid out, what it says of the job, and how the job is ended.

<workdir>/<key>/            appears whole, by a rename
    spec.json               what to run, for the launcher
    launcher.py             a copy of :mod:`airflow_mlpipe.compute.launcher`
    code/                   the job's working folder, a fresh copy of its source
    files/                  $MLPIPE_JOB_DIR
    metrics.jsonl  log.txt  what the job says
    claim.json              who runs it; the first launcher to link it
    cancel                  its end was asked for; holds the grace in seconds
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from airflow_mlpipe.compute import launcher
from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.errors import ComputeError, SubmitRejectedError

_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,51}")
_LONGEST = 128 * 1024 - 1
"""Linux takes no longer single argument or environment entry."""
QUEUE_GRACE = 60.0
"""Seconds in which a staged job's launcher must show up."""
STALE_HEARTBEAT = 30.0
"""Seconds without a sign of life after which a launcher that we cannot look at counts as gone."""


def valid_key(key: object) -> bool:
    """Whether a run key is one: anything else never becomes a path."""
    return isinstance(key, str) and _KEY.fullmatch(key) is not None


def check_spec(spec: JobSpec, key: str) -> None:
    """Refuse what no process on Linux could be given.

    :raises SubmitRejectedError: naming the field, what it holds and what is allowed.
    """
    if not valid_key(key):
        raise SubmitRejectedError(f"The run key {key!r} is not allowed: use 1 to 52 characters a-z, 0-9 and '-'.")
    if not _fits(spec.command):
        raise SubmitRejectedError(
            "The command holds a character that no command can hold, or is longer than 128 KiB. Move it into a script."
        )
    for name, value in spec.variables.items():
        if not name or "=" in name or not _fits(f"{name}={value}"):
            raise SubmitRejectedError(
                f"The environment variable {name!r} cannot be set: a name must not be empty or hold '=', neither name "
                "nor value may hold a NUL character, and both together at most 128 KiB. Pass long values in a file."
            )
    _check_files(spec)


def _check_files(spec: JobSpec) -> None:
    for name in spec.files:
        if name in ("", ".", "..") or "/" in name or not _fits(name):
            raise SubmitRejectedError(f"The file name {name!r} is not allowed beside a job: use a plain name.")
    for folder in spec.folders:
        if not Path(folder).is_absolute() or not _fits(str(folder)):
            raise SubmitRejectedError(f"The folder {folder!r} to create for a job is not an absolute path.")


def _fits(text: str) -> bool:
    """Whether Linux takes this text as one argument or environment entry."""
    try:
        return "\0" not in text and len(text.encode("utf-8", "surrogateescape")) <= _LONGEST
    except UnicodeEncodeError:
        return False


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
        self.marks = launcher.marks_of(key, self.path)

    @property
    def log(self) -> Path:
        """Where the job's output is."""
        return self.path / launcher.LOG

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

    def stage(self, spec: JobSpec, python: Path, variables: dict[str, str]) -> None:
        """Lay out the folder, whole or not at all; call it under :meth:`lock`.

        :param python: the interpreter that ``python`` and ``python3`` shall mean in the job.
        :param variables: of the environment, below the job's own.
        """
        staging = self.root / f".staging-{self.key}"
        remove_tree(staging)
        staging.mkdir(mode=0o700, parents=True)
        (staging / launcher.FILES).mkdir()
        for name, text in spec.files.items():
            (staging / launcher.FILES / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        if spec.code is None:
            (staging / launcher.CODE).mkdir()
        else:
            spec.code.copy_to(staging / launcher.CODE)
        _shims(staging / "bin", python)
        (staging / launcher.LOG).touch()
        shutil.copyfile(launcher.__file__, staging / "launcher.py")
        plain = {
            "key": self.key,
            "command": spec.command,
            "variables": {**variables, **spec.variables},
            "search_path": [str(self.path / "bin"), str(python.parent)],
            "folders": [str(folder) for folder in spec.folders],
            "timeout": spec.timeout,
            "journal": str(self.root / "submissions.jsonl"),
        }
        (staging / launcher.SPEC).write_text(json.dumps(plain), encoding="ascii")
        staging.rename(self.path)

    def claimed(self) -> bool:
        """Whether a launcher has taken the job, or it has ended before one did."""
        return (self.path / launcher.CLAIM).exists() or (self.path / launcher.EXIT).exists()

    def exit_record(self) -> ExitRecord | None:
        """Return how the job ended, ``None`` if nobody has said so. Strange contents are a damaged record, no error."""
        path = self.path / launcher.EXIT
        try:
            value = json.loads(path.read_bytes())
            reason, message, code, number = (value[name] for name in ("reason", "message", "exit_code", "signal"))
            seconds, metrics = value["seconds"], tuple(value["metrics"])
            typed = (isinstance(reason, str), isinstance(message, str), _whole(code), _whole(number))
            if all(typed) and all(_is_metric(metric) for metric in metrics) and isinstance(seconds, (int, float)):
                return ExitRecord(reason, message, code, number, float(seconds), metrics)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            pass
        return ExitRecord("damaged", f"The exit record {path} is damaged, so how the job ended is not known.")

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
            beat = (self.path / launcher.CLAIM).stat().st_mtime
        except OSError:
            return self._waiting()
        claim = self._claim()
        if claim is None:
            return ""
        if not claim.here:
            return "running" if time.time() - beat < STALE_HEARTBEAT else ""
        found = launcher.process(claim.pid)
        return "running" if found and found.start == claim.start else ""

    def _claim(self) -> _Claim | None:
        """Return who claims the job, ``None`` if that is nobody or cannot be read."""
        try:
            value = json.loads((self.path / launcher.CLAIM).read_bytes())
            pid, start = value["pid"], value["start"]
            here = {name: value[name] for name in ("boot_id", "pid_namespace")} == launcher.here()
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        valid = isinstance(pid, int) and isinstance(start, str) and 1 < pid < 1 << 31
        return _Claim(pid, start, here) if valid else None

    def _waiting(self) -> str:
        """Judge a job without a claim; past its time, take the claim so that a late launcher finds it taken."""
        try:
            age = time.time() - (self.path / launcher.SPEC).stat().st_mtime
        except OSError:
            return ""
        if age < QUEUE_GRACE and not (self.path / launcher.CANCEL).exists():
            return "queued"
        with suppress(FileNotFoundError):
            if not launcher.put_new(self.path / launcher.CLAIM, {"pid": 0, "start": "", **launcher.here()}):
                return "running"
        return ""

    def _declare(self) -> ExitRecord:
        """Write the exit record of a job whose launcher is gone, after ending whatever it left behind."""
        if not self.path.exists():
            return ExitRecord("lost", f"The job {self.key} is not known here: {self.path} does not exist.")
        launcher.kill_all(self.marks)
        cancelled = (self.path / launcher.CANCEL).exists()
        message = (
            ""
            if cancelled
            else (
                "The process is gone without an exit record: the machine restarted, or it was killed. "
                f"Its log: {self.log}"
            )
        )
        value = {"reason": "cancelled" if cancelled else "lost", "message": message, "exit_code": None, "signal": None}
        launcher.put_new(self.path / launcher.EXIT, {**value, "seconds": 0.0, "metrics": []})
        return self.exit_record() or ExitRecord("lost", message)

    def ask_to_end(self, grace: float) -> bool:
        """Ask the launcher to end the job; return whether there is anything to wait for."""
        if isinstance(self.settle(), ExitRecord):
            return False
        temporary = self.path / f".{launcher.CANCEL}.{os.getpid()}.{time.monotonic_ns()}"
        temporary.write_text(f"{max(0.0, grace)}")
        temporary.replace(self.path / launcher.CANCEL)
        self._signal_launcher(signal.SIGTERM)
        return True

    def force_end(self) -> None:
        """Kill the launcher and every process of the job, and write the record it can no longer write."""
        self._signal_launcher(signal.SIGKILL)
        launcher.kill_all(self.marks)
        self.settle()

    def _signal_launcher(self, number: signal.Signals) -> None:
        """Signal the process of the claim; never another one that got its number."""
        claim = self._claim()
        if claim is None or not claim.here:
            return
        with suppress(OSError):
            process = os.pidfd_open(claim.pid)
            try:
                found = launcher.process(claim.pid)
                if found and found.start == claim.start:
                    signal.pidfd_send_signal(process, number)
            finally:
                os.close(process)

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

    def remove(self) -> None:
        """Remove everything of a job that has ended.

        :raises ComputeError: if it has not.
        """
        if not self.path.exists():
            return
        if not isinstance(self.settle(), ExitRecord):
            raise ComputeError(f"The job {self.key} has not ended, so its folder stays. Cancel it first.")
        trash = self.root / f".removed-{self.key}"
        remove_tree(trash)
        with suppress(FileNotFoundError):
            self.path.rename(trash)
        remove_tree(trash)
        (self.root / ".locks" / self.key).unlink(missing_ok=True)


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
