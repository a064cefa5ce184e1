"""The processes of this machine: which there are, whose they are, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

from airflow_mlpipe.compute.far_side.records import FILES


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
    return {"boot_id": boot, "pid_namespace": os.readlink("/proc/self/ns/pid")}


def identity() -> dict[str, Any]:
    """Return what tells this process from every other, also from a later one with its number."""
    own = process(os.getpid())
    return {"pid": os.getpid(), "start": own.start if own else "", **here()}


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


def signal_one(pid: int, start: str, number: int) -> None:
    """Send a signal to the process with this number and start time; never to another one that got its number.

    :raises OSError: if there is no such process.
    """
    descriptor = _descriptor(pid)
    try:
        found = process(pid)
        if found is None or found.start != start:
            return
        if descriptor is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(descriptor, number)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _descriptor(pid: int) -> int | None:
    if hasattr(os, "pidfd_open"):  # Python 3.9; a kernel before 5.3 has none either
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None


def descriptor_of(pid: int, start: str) -> int | None:
    """Return a descriptor that becomes readable when the process with this number and start time ends.

    ``None`` if the system has no such descriptors.

    :raises ProcessLookupError: if there is no such process.
    """
    descriptor = _descriptor(pid)
    found = process(pid)
    if found is not None and found.start == start:
        return descriptor
    if descriptor is not None:
        os.close(descriptor)
    raise ProcessLookupError(pid)


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
