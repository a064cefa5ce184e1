"""The launcher: runs one job, beside the job, and leaves a record of how it ended.

    launch [--watch PID START] [--stay] FOLDER

FOLDER holds ``spec.json``. The launcher goes to the background, claims the job by hard-linking ``claim.json`` into
place (a second launcher of the same job loses and leaves no trace), runs the command with its output in ``log.txt`` and
links ``exit.json``: whoever writes the first exit record decides how the job ended. An observer that takes the job for
dead writes one too; a launcher that finds it there ends the command, so no job runs on after it was called lost.
With ``--watch`` the job also ends when that process is gone. With ``--stay`` the launcher runs in the foreground, for
engines whose job ends when the process does that they started.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.far_side.carrier import Carrier
from airflow_mlpipe.compute.far_side.metrics import read_metrics
from airflow_mlpipe.compute.far_side.processes import identity, kill_all, marks_of, members, process, reap, signal_all
from airflow_mlpipe.compute.far_side.records import (
    CANCEL,
    CLAIM,
    CODE,
    DIGESTS,
    EXIT,
    FILES,
    LOG,
    METRICS,
    SPEC,
    put_new,
)

INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
    | {"CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
)
"""The variables that a job gets from the machine, with ``LC_*``; nothing else of the caller's environment."""

TICK = 0.5
HEARTBEAT = 5.0
GRACE = 10.0
DISK_PATIENCE = 600
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PDEATHSIG, _SUBREAPER = 1, 36


def job_environment(spec: dict[str, Any], folder: Path) -> dict[bytes, bytes]:
    """Return the job's whole environment, as bytes so that no locale can change a value."""
    values = {"PATH": os.defpath, "PYTHONUNBUFFERED": "1", **inherited(), **_passed(spec), **spec["variables"]}
    values["PATH"] = os.pathsep.join([*spec["search_path"], values["PATH"]])
    values["MLPIPE_JOB_KEY"] = spec["key"]
    values["MLPIPE_JOB_DIR"] = str(folder / FILES)
    values["MLPIPE_METRICS_FILE"] = str(folder / METRICS)
    return {_bytes(name): _bytes(value) for name, value in values.items()}


def _passed(spec: dict[str, Any]) -> dict[str, str]:
    """Return the variables by which an engine lets its jobs find it."""
    prefixes = tuple(spec.get("passes", ()))
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)} if prefixes else {}


def inherited() -> dict[str, str]:
    """Return what a job, and its launcher, may know of the caller's environment."""
    given = {n.decode("utf-8", "surrogateescape"): v.decode("utf-8", "surrogateescape") for n, v in os.environb.items()}
    return {name: value for name, value in given.items() if name in INHERITED or name.startswith("LC_")}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class Launcher:
    """One claimed job.

    :param watched: number and start time of a process whose end is the end of the job.
    """

    def __init__(self, folder: Path, spec: dict[str, Any], watched: tuple[int, str] | None = None) -> None:
        self.folder, self.spec, self.watched = folder, spec, watched
        self.marks = marks_of(spec["key"], folder)
        self.reason = self.message = ""
        self.status: int | None = None
        self.child = 0
        self.deadline = self.kill_at = math.inf
        self.beat = 0.0
        self.carrier = Carrier(folder)

    def run(self) -> None:
        """Run the command and leave the exit record."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        if (self.folder / EXIT).exists():
            return
        started, clock = time.time(), time.monotonic()
        try:
            self.reason = "cancelled" if (self.folder / CANCEL).exists() else self._start()
        except OSError as error:
            self.reason, self.message = "error", f"The job cannot be started: {error}."
        if self.child:
            self._watch()
            left = kill_all(self.marks, os.getpid())
            self.message += f" {left} process(es) of the job could not be ended." if left else ""
            self._hand_over()
        self._record(started, time.monotonic() - clock)

    def _hand_over(self) -> None:
        """Note what the job left, and send what is ours to send, before the exit record says that it is all there."""
        if self.reason or self.status != 0 or not self.spec.get("outputs"):
            return
        from airflow_mlpipe.compute.far_side.digests import (  # noqa: PLC0415 - slow; most outputs stay where they are
            digest_outputs,
        )

        try:
            put_new(self.folder / DIGESTS, digest_outputs(self.spec["outputs"]))
            self.carrier.during(self.carrier.send, self._look)
        except (OSError, ValueError) as error:
            self.reason, self.message = "error", f"{self.message} The outputs cannot be handed over: {error}".strip()

    def _look(self) -> bool:
        """Look after the job while its data moves; return whether it is still wanted."""
        caught = signal.sigtimedwait(_SIGNALS, 0)
        self._heartbeat()
        self.reason, self.message, _ = self._why(caught.si_signo if caught else 0)
        return not self.reason

    def _start(self) -> str:
        import ctypes  # noqa: PLC0415 - slow to import; whoever only plans jobs imports this module too
        import subprocess  # noqa: PLC0415 - as above

        for folder in self.spec["folders"]:
            Path(folder).mkdir(parents=True, exist_ok=True)
        timeout = self.spec["timeout"]
        self.deadline = time.monotonic() + timeout if timeout is not None else math.inf
        self.carrier.during(self.carrier.fetch, self._look)
        if self.reason:
            return self.reason
        prctl = getattr(ctypes.CDLL(None), "prctl", lambda *_: 0)
        prctl(_SUBREAPER, 1, 0, 0, 0)
        own = os.getpid()

        def in_child() -> None:
            prctl(_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != own:
                os._exit(127)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())

        shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
        self._journal()
        with (self.folder / LOG).open("ab", buffering=0) as log:
            child = subprocess.Popen(  # noqa: S603 - the user's command is what we are here to run
                [shell, "-c", _bytes(self.spec["command"])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder / CODE,
                env=job_environment(self.spec, self.folder),
                start_new_session=True,
                preexec_fn=in_child,
            )
        self.child, child.returncode = child.pid, 0  # collected by reap(), not by subprocess
        return ""

    def _journal(self) -> None:
        line = json.dumps({"key": self.spec["key"], "pid": os.getpid(), "started": time.time()}) + "\n"
        with Path(self.spec["journal"]).open("ab", buffering=0) as journal:
            journal.write(line.encode())
            os.fsync(journal.fileno())

    def _watch(self) -> None:
        while self.status is None or (self.reason and time.monotonic() < self.kill_at and self._members()):
            wait = max(0.01, min(TICK, self.deadline - time.monotonic(), self.kill_at - time.monotonic()))
            caught = signal.sigtimedwait(_SIGNALS, wait)
            self.status = reap().get(self.child, self.status)
            self._heartbeat()
            if self.reason:
                if time.monotonic() >= self.kill_at:
                    signal_all(self._members(), signal.SIGKILL)
            elif self.status is None:
                self._end_early(caught.si_signo if caught else 0)

    def _heartbeat(self) -> None:
        """Let observers that cannot see our process number know that we live."""
        if time.monotonic() - self.beat >= HEARTBEAT:
            self.beat = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self.folder / CLAIM)

    def _end_early(self, number: int) -> None:
        self.reason, self.message, grace = self._why(number)
        if self.reason:
            self.deadline, self.kill_at = math.inf, time.monotonic() + grace
            signal_all(self._members(), signal.SIGTERM)

    def _members(self) -> list[int]:
        return members(self.marks, os.getpid())

    def _why(self, number: int) -> tuple[str, str, float]:
        if (self.folder / CANCEL).exists():
            return "cancelled", "", float((self.folder / CANCEL).read_text() or GRACE)
        if (self.folder / EXIT).exists() or not self.folder.exists():
            return "disowned", "", 0.0
        if time.monotonic() >= self.deadline:
            limit = self.spec["timeout"]
            return "timeout", f"The job was ended: it took longer than its time limit of {limit:g} s.", GRACE
        if number not in (0, signal.SIGCHLD):
            name = signal.Signals(number).name
            return "terminated", f"The job was ended: its launcher got {name}; is the machine shutting down?", GRACE
        owner = process(self.watched[0]) if self.watched else None
        if self.watched and (owner is None or owner.start != self.watched[1]):
            return "orphaned", "The job was ended: the process that it belonged to is gone.", 0.0
        return "", "", 0.0

    def _record(self, started: float, seconds: float) -> None:
        metrics, note = read_metrics(self.folder / METRICS)
        exit_code = number = None
        if self.status is not None:
            number = os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else None
            exit_code = os.WEXITSTATUS(self.status) if number is None else None
        record: dict[str, Any] = {
            "reason": self.reason,
            "message": f"{self.message} {note}".strip(),
            "exit_code": exit_code,
        }
        record.update(signal=number, started=started, ended=started + seconds, seconds=seconds, metrics=metrics)
        patience = DISK_PATIENCE
        while patience and not self._leave(record):
            time.sleep(1)
            patience -= 1

    def _leave(self, record: dict[str, Any]) -> bool:
        try:
            put_new(self.folder / EXIT, record)
        except OSError:  # a full disk may get free again; a folder that is gone will not come back
            return not self.folder.exists()
        return True


def leave_caller() -> int:
    """Fork away from the caller; the caller waits for the answer, which is written to the returned descriptor."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            answer = stream.read().decode("utf-8", "replace")
        sys.stderr.write(answer)
        sys.stderr.flush()
        os._exit(0 if answer in ("claimed", "taken") else 1)
    os.close(reading)
    os.setsid()
    os.chdir("/")
    return writing


def _foreground() -> int:
    os.chdir("/")
    return os.dup(2)


def main(arguments: list[str]) -> None:
    """Run the job of the folder named last; see the head of this file."""
    folder = Path(arguments[-1]).resolve()
    watched = (int(arguments[1]), arguments[2]) if arguments[0] == "--watch" else None
    answer = _foreground() if "--stay" in arguments[:-1] else leave_caller()
    claimed = False
    try:
        spec = json.loads((folder / SPEC).read_text("utf-8"))
        claimed = put_new(folder / CLAIM, identity())
        text = "claimed" if claimed else "taken"
    except (OSError, ValueError) as error:
        text = f"The job of {folder} cannot be claimed: {error}"
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.write(answer, text.encode())
    os.close(answer)
    if claimed:
        Launcher(folder, spec, watched).run()
