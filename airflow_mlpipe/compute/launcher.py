"""The launcher: runs one job, beside the job, and leaves a record of how it ended.

This one file travels with every job. It needs Python 3.8 on Linux and nothing else, and must not import this package.

    python launcher.py [--watch PID START] FOLDER

FOLDER holds ``spec.json``. The launcher goes to the background, claims the job by hard-linking ``claim.json`` into
place (a second launcher of the same job loses and leaves no trace), runs the command with its output in ``log.txt`` and
links ``exit.json``: whoever writes the first exit record decides how the job ended. An observer that takes the job for
dead writes one too; a launcher that finds it there ends the command, so no job runs on after it was called lost.
With ``--watch`` the job also ends when that process is gone.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

SPEC, CLAIM, EXIT, CANCEL = "spec.json", "claim.json", "exit.json", "cancel"
LOG, METRICS, CODE, FILES = "log.txt", "metrics.jsonl", "code", "files"

INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
    | {"CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
)
"""The variables that a job gets from the machine, with ``LC_*``; nothing else of the caller's environment."""

TICK = 0.5
HEARTBEAT = 5.0
GRACE = 10.0
DISK_PATIENCE = 600
METRICS_BYTES = 4 * 1024 * 1024
METRICS_LINES = 10_000
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PDEATHSIG, _SUBREAPER = 1, 36


class Process(NamedTuple):
    """What the kernel says of a process."""

    parent: int
    start: str


def process(pid: int) -> Process | None:
    """Return the process with this number, ``None`` if there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode().split()
    except OSError:
        return None
    if not fields or fields[0] in "ZXx":
        return None
    return Process(int(fields[1]), fields[19])


def here() -> dict[str, str]:
    """Return what tells this boot and this process-number space from all others."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"boot_id": boot, "pid_namespace": os.readlink("/proc/self/ns/pid")}  # noqa: PTH115 - not a path


def identity() -> dict[str, Any]:
    """Return what tells this process from every other, also from a later one with its number."""
    own = process(os.getpid())
    return {"pid": os.getpid(), "start": own.start if own else "", **here()}


def put_new(path: Path, value: dict[str, Any]) -> bool:
    """Write JSON under a name that must not exist yet; whole or not at all, and on disk when this returns.

    :return: whether it was us; ``False`` if the name is taken.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with temporary.open("w", encoding="ascii") as stream:
            json.dump(value, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return True


def belongs(pid: int, marks: frozenset[bytes]) -> bool:
    """Whether the environment of a process carries all these ``NAME=value`` entries."""
    try:
        return marks.issubset(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return False


def marks_of(key: str, folder: Path) -> frozenset[bytes]:
    """Return the two variables that mark every process of a job."""
    return frozenset((b"MLPIPE_JOB_KEY=" + key.encode(), b"MLPIPE_JOB_DIR=" + os.fsencode(folder / FILES)))


def members(marks: frozenset[bytes], root: int = 0) -> list[int]:
    """Return all living processes of a job: those that carry its marks, and the descendants of ``root``."""
    table = {int(name): process(int(name)) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208
    tree = {root} if root else set()
    grown = True
    while tree and grown:
        children = {pid for pid, known in table.items() if known and known.parent in tree}
        grown = not children <= tree
        tree |= children
    tree.discard(root)
    own = os.getpid()
    return [pid for pid, known in table.items() if known and pid != own and (pid in tree or belongs(pid, marks))]


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to processes that may be gone by now."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_all(marks: frozenset[bytes], root: int = 0, patience: float = 10.0) -> int:
    """Kill a job's processes until none is left, also those that it starts meanwhile; return how many would not die."""
    deadline = time.monotonic() + patience
    while True:
        left = members(marks, root)
        if not left or time.monotonic() > deadline:
            return len(left)
        signal_all(left, signal.SIGKILL)
        if root:
            reap()
        time.sleep(0.01)


def reap() -> dict[int, int]:
    """Collect all children that have ended; return their wait statuses."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        pid, status = os.waitpid(-1, os.WNOHANG)
        while pid:
            ended[pid] = status
            pid, status = os.waitpid(-1, os.WNOHANG)
    return ended


def job_environment(spec: dict[str, Any], folder: Path) -> dict[bytes, bytes]:
    """Return the job's whole environment, as bytes so that no locale can change a value."""
    values = {"PATH": os.defpath, "PYTHONUNBUFFERED": "1", **inherited(), **spec["variables"]}
    values["PATH"] = os.pathsep.join([*spec["search_path"], values["PATH"]])
    values["MLPIPE_JOB_KEY"] = spec["key"]
    values["MLPIPE_JOB_DIR"] = str(folder / FILES)
    values["MLPIPE_METRICS_FILE"] = str(folder / METRICS)
    return {_bytes(name): _bytes(value) for name, value in values.items()}


def inherited() -> dict[str, str]:
    """Return what a job, and its launcher, may know of the caller's environment."""
    given = {n.decode("utf-8", "surrogateescape"): v.decode("utf-8", "surrogateescape") for n, v in os.environb.items()}
    return {name: value for name, value in given.items() if name in INHERITED or name.startswith("LC_")}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Read what the script reported; return the good lines, and a sentence about the bad ones."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return [], "The metrics file is not a regular file and was ignored."
            text = stream.read(METRICS_BYTES + 1)
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], f"The metrics file cannot be read: {error.strerror}."
    lines = text.split(b"\n")
    cut = len(text) > METRICS_BYTES or len(lines) > METRICS_LINES
    good, bad = [], []
    for number, line in enumerate(lines[:METRICS_LINES][: -1 if cut else None], start=1):
        if line.strip():
            metric, problem = _metric(line)
            if metric is None:
                bad.append(f"line {number}: {problem}")
            else:
                good.append(metric)
    notes = [f"{len(bad)} bad line(s) in the metrics file were ignored ({'; '.join(bad[:3])})."] if bad else []
    if cut:
        notes.append(f"The metrics file is longer than {METRICS_LINES} lines or 4 MiB; the rest was ignored.")
    return good, " ".join(notes)


def _metric(line: bytes) -> tuple[dict[str, Any] | None, str]:
    try:
        entry = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None, "not JSON"
    if not isinstance(entry, dict):
        return None, "not an object with name and value"
    name, value, step = entry.get("name"), entry.get("value"), entry.get("step")
    if not isinstance(name, str) or not 0 < len(name) <= 250 or any(0xD800 <= ord(c) <= 0xDFFF for c in name):
        return None, "name is not a text of 1 to 250 characters"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        return None, f"value of {name!r} is not a finite number"
    if step is not None and (isinstance(step, bool) or not isinstance(step, int)):
        return None, f"step of {name!r} is not a whole number"
    return {"name": name, "value": value, "step": step}, ""


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
        self._record(started, time.monotonic() - clock)

    def _start(self) -> str:
        import ctypes  # noqa: PLC0415 - slow to import; whoever only plans jobs imports this module too
        import subprocess  # noqa: PLC0415 - as above

        for folder in self.spec["folders"]:
            Path(folder).mkdir(parents=True, exist_ok=True)
        timeout = self.spec["timeout"]
        self.deadline = time.monotonic() + timeout if timeout is not None else math.inf
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


def _background() -> int:
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


def main(arguments: list[str]) -> None:
    """Run the job of the folder named last; see the head of this file."""
    folder = Path(arguments[-1]).resolve()
    watched = (int(arguments[1]), arguments[2]) if arguments[0] == "--watch" else None
    answer = _background()
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


if __name__ == "__main__":
    main(sys.argv[1:])
