"""A process that dies at any of its system calls: for tests of what must be whole or absent. Needs strace.

    for call in calls_of(work):
        killed_at(call, work)           # then look at what is left

The work runs in a fork of this process, in one thread: pools do their work at once in the caller, so that the calls
always come in the same order. Other threads and the processes that the work starts are left alone.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

Work = Callable[[], object]
_CALL = re.compile(r"^(\w+)\(", re.MULTILINE)
_PR_SET_PTRACER = 0x59616D61
_ANY = ctypes.c_ulong(-1)


class Call(NamedTuple):
    """One system call of some work: strace counts the calls of each name apart.

    :param number: 1 for the first call of this name.
    """

    name: str
    number: int


def killed_at(call: Call, work: Work) -> bool:
    """Do the work in a process that is killed instead of making a call; False if it came to its end before.

    :raises RuntimeError: if strace is missing or cannot attach, or the work fails by itself.
    """
    what = f"inject={call.name}:signal=SIGKILL:when={call.number}"
    return _traced(work, ["-e", f"trace={call.name}", "-e", what, "-o", os.devnull])


def calls_of(work: Work) -> list[Call]:
    """Do the work and return its system calls, in their order.

    :raises RuntimeError: as :func:`killed_at`.
    """
    seen: Counter[str] = Counter()
    calls = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "calls"
        if _traced(work, ["-o", str(log)]):
            raise RuntimeError("The work was killed, and not by strace.")
        for name in _CALL.findall(log.read_text(errors="replace")):
            seen[name] += 1
            calls.append(Call(name, seen[name]))
    return calls


def _traced(work: Work, options: list[str]) -> bool:
    strace = shutil.which("strace")
    if strace is None:
        raise RuntimeError("strace is not installed. Debian, Ubuntu: apt-get install strace.")
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _live(work, ready[1], go[0])
    os.read(ready[0], 1)
    command = [strace, *options, "-p", str(child)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:  # noqa: S603 - found on the PATH
        said = tracer.stderr.readline() if tracer.stderr else ""
        os.write(go[1], b"g")
        _, status = os.waitpid(child, 0)
        tracer.communicate()
    for end in (*ready, *go):
        os.close(end)
    if "attached" not in said:
        raise RuntimeError(f"strace cannot attach: {said.strip()}")
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status:
        raise RuntimeError(f"The work failed by itself (status {status}).")
    return False


def _live(work: Work, ready: int, go: int) -> NoReturn:
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)  # Yama lets nobody but a parent attach otherwise
        concurrent.futures.ThreadPoolExecutor = _AtOnce  # type: ignore[assignment,misc]
        os.write(ready, b"r")
        os.read(go, 1)
        work()
        code = 0
    finally:
        os._exit(code)


class _AtOnce:
    """A pool without threads."""

    def __init__(self, *_arguments: Any, **_options: Any) -> None: ...

    def __enter__(self) -> _AtOnce:
        return self

    def __exit__(self, *_error: object) -> None: ...

    def submit(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> concurrent.futures.Future[Any]:
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            done.set_result(work(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            done.set_exception(error)
        return done

    def shutdown(self, **_options: Any) -> None: ...

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return iter([work(item) for item in items])
