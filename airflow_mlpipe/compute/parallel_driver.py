"""The driver of a parallel step: cuts an input into mini-batches and gives them to processes of the user's script.

This one file travels with the job. It needs Python 3.8 on Linux and nothing else, and must not import this package.

    python parallel_driver.py SETTINGS             in the source folder

The contract is Azure ML's (ParallelRunStep, ``type: parallel``): the entry script has ``init()`` (optional, once for
each process), ``run(mini_batch)`` (a list of file paths; returns a list, tuple, array or DataFrame with one element for
each item that went well) and ``shutdown()`` (optional). Beyond it: rows come out in the order of the input, whoever was
first, and each mini-batch gives its rows once, however often it was tried.

A worker is this file again, ``--worker``: it reads mini-batches as JSON lines from a pipe, leaves their rows in a file,
and answers on another pipe; what the script prints goes to the job's log.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

_TICK = 0.5
_SHUTDOWN_PATIENCE = 60.0
_PARTS = "parallel_parts"


class StopError(Exception):
    """The whole job ends here; the text is the last line of its log."""


class Answer(NamedTuple):
    """How one try of a mini-batch went.

    :param returned: elements that ``run`` returned; ``None`` if the try failed.
    :param problem: why it failed.
    """

    returned: int | None
    problem: str = ""


def say(text: str) -> None:
    """Write a line to the job's log."""
    print(f"parallel: {text}", flush=True)  # noqa: T201 - the log is what this prints


def input_files(root: str) -> list[str]:
    """Return the absolute paths of all files of an input, in the order of their relative paths."""
    top = Path(root)
    if top.is_file():
        return [str(top)]
    if not top.is_dir():
        raise StopError(f"The input {root} does not exist.")
    found = [Path(folder, name) for folder, _, names in os.walk(top, followlinks=True) for name in names]
    return [str(path) for path in sorted(found, key=lambda path: path.relative_to(top).as_posix())]


class Worker:
    """One process of the user's script, seen from the driver. Used by one thread."""

    def __init__(self, settings: Path, script: str) -> None:
        self._buffer = b""
        self._script = script
        self._answers, answers = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, str(Path(__file__).resolve()), "--worker", str(settings), str(answers)],
                stdin=subprocess.PIPE,
                pass_fds=[answers],
                start_new_session=True,
            )
        finally:
            os.close(answers)
        assert self._process.stdin is not None
        self._requests = self._process.stdin

    def start(self, stop: threading.Event) -> None:
        """Wait until ``init`` has run.

        :raises StopError: if it failed: no other process would do better.
        """
        answer = self._receive(None, stop)
        problem = f"init() did not end: {self._death()}" if answer is None else answer.get("problem")
        if problem:
            self.kill()
            raise StopError(f"{self._script}: {problem}")

    def run(self, index: int, files: list[str], timeout: float, stop: threading.Event) -> Answer:
        """Have one mini-batch tried. The process is dead after it ran out of time, and may be after any failure."""
        request = json.dumps({"index": index, "files": files}).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(request)
            self._requests.flush()
        answer = self._receive(timeout, stop)
        if answer is not None:
            return Answer(answer.get("returned"), answer.get("problem", ""))
        if self._process.poll() is None and not stop.is_set():
            self.kill()
            return Answer(None, f"run() took longer than {timeout:g} s")
        return Answer(None, self._death())

    def alive(self) -> bool:
        """Whether the process can take another mini-batch."""
        return self._process.poll() is None

    def finish(self) -> None:
        """Let the script's ``shutdown`` run and the process end."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        try:
            self._process.wait(_SHUTDOWN_PATIENCE)
        except subprocess.TimeoutExpired:
            say(f"shutdown() of {self._script} took longer than {_SHUTDOWN_PATIENCE:g} s and was ended.")
        self.kill()

    def kill(self) -> None:
        """End the process and those that it started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        if self._answers >= 0:
            os.close(self._answers)
            self._answers = -1

    def _receive(self, timeout: float | None, stop: threading.Event) -> dict[str, Any] | None:
        """Return the next answer; ``None`` if the process died, the time is over, or all shall stop."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = _TICK if deadline is None else min(_TICK, deadline - time.monotonic())
            if stop.is_set() or left <= 0:
                return None
            dead = self._process.poll() is not None
            if select.select([self._answers], [], [], 0 if dead else left)[0]:
                data = os.read(self._answers, 65536)
                if not data:
                    self._process.wait()
                    return None
                self._buffer += data
            elif dead:
                return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _death(self) -> str:
        code = self._process.poll()
        if code is None:
            return "the process was stopped"
        hint = ", as happens when memory runs out" if code == -signal.SIGKILL else ""
        return (
            f"the process was killed by signal {-code}{hint}" if code < 0 else f"the process left with exit code {code}"
        )


class Driver:
    """Gives the mini-batches out, counts what fails, and puts the rows together.

    :param path: of the settings.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.settings: dict[str, Any] = json.loads(self.path.read_text("utf-8"))
        files, size = input_files(self.settings["input"]), self.settings["mini_batch_size"]
        self.batches = [files[start : start + size] for start in range(0, len(files), size)]
        self.parts = self.path.parent / _PARTS
        self.waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.fatal = ""
        self.done = self.retries = self.failed_batches = self.failed_items = 0
        self.told = 0.0

    def run(self) -> None:
        """Run the whole step.

        :raises StopError: if it failed.
        """
        if not Path(self.settings["entry_script"]).is_file():
            raise StopError(f"The entry script {self.settings['entry_script']} is not in the step's code folder.")
        self.parts.mkdir(exist_ok=True)
        for index in range(len(self.batches)):
            self.waiting.put(index)
        count = min(self.settings["processes"] or len(os.sched_getaffinity(0)), len(self.batches))
        say(f"{sum(map(len, self.batches))} files, {len(self.batches)} mini-batches, {count} processes")
        threads = [threading.Thread(target=self._serve) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.fatal or self.done < len(self.batches):
            raise StopError(self.fatal or "Not all mini-batches were done; the reason is in the log above.")
        self._append_rows()
        failed = f"{self.failed_batches} failed, {self.failed_items} failed items"
        say(f"all {len(self.batches)} mini-batches done: {failed}, {self.retries} retries")

    def _serve(self) -> None:
        """Keep one process busy, replacing it when it dies, until no mini-batch waits."""
        worker = None
        try:
            while not self.stop.is_set():
                try:
                    index = self.waiting.get_nowait()
                except queue.Empty:
                    break
                worker = self._try(index, worker)
            if worker is not None and worker.alive() and not self.stop.is_set():
                worker.finish()
        except (StopError, OSError, ValueError) as error:
            self._end(str(error))
        finally:
            if worker is not None:
                worker.kill()

    def _try(self, index: int, worker: Worker | None) -> Worker:
        """Try a mini-batch until it goes well or its tries are used up; return the process for the next one."""
        tries = self.settings["max_retries"] + 1
        for attempt in range(1, tries + 1):
            if worker is None or not worker.alive():
                if worker is not None:
                    worker.kill()
                worker = Worker(self.path, self.settings["entry_script"])
                worker.start(self.stop)
            answer = worker.run(index, self.batches[index], self.settings["timeout"], self.stop)
            if self.stop.is_set():
                return worker
            if answer.returned is not None:
                break
            more = "trying again" if attempt < tries else "giving it up"
            say(f"mini-batch {index + 1} failed, try {attempt} of {tries}: {answer.problem}; {more}")
            with self.lock:
                self.retries += attempt < tries
        assert worker is not None
        self._count(index, answer.returned)
        return worker

    def _count(self, index: int, returned: int | None) -> None:
        missing = max(0, len(self.batches[index]) - (returned or 0))
        with self.lock:
            self.done += 1
            self.failed_items += missing
            self.failed_batches += missing > 0 or returned is None
            last = self.done == len(self.batches)
            if last or time.monotonic() - self.told >= 1:
                self.told = time.monotonic()
                say(f"mini-batch {self.done} of {len(self.batches)} done, {self.retries} retries")
        if missing and returned is not None:
            say(f"mini-batch {index + 1}: run() returned {returned} elements for {len(self.batches[index])} files")
        self._check("error_threshold", self.failed_items, "items")
        self._check("mini_batch_error_threshold", self.failed_batches, "mini-batches")

    def _check(self, name: str, failed: int, what: str) -> None:
        if 0 <= self.settings[name] < failed:
            allowed = self.settings[name]
            self._end(f"Stopped: {failed} {what} failed, {name} allows {allowed}. The reasons are in the log above.")

    def _end(self, reason: str) -> None:
        with self.lock:
            self.fatal = self.fatal or reason
        self.stop.set()

    def _append_rows(self) -> None:
        """Put the rows of all mini-batches into one file, which appears whole."""
        if not self.settings["append_row_file"]:
            return
        target = Path(self.settings["append_row_file"])
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        with temporary.open("wb") as stream:
            for index in range(len(self.batches)):
                part = part_path(self.parts, index)
                if part.exists():
                    stream.write(part.read_bytes())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)


def part_path(parts: Path, index: int) -> Path:
    """Return where the rows of a mini-batch are left."""
    return parts / f"{index:09d}.txt"


def rows_of(result: Any) -> tuple[int, str]:
    """Return the number of elements that ``run`` returned, and their rows as text.

    A DataFrame gives its values separated by blanks, without header and index, as Azure ML writes it; of all else
    each element gives ``str(element)``.

    :raises TypeError: if it is nothing that ``run`` may return.
    """
    if hasattr(result, "to_csv") and hasattr(result, "columns"):
        return len(result), str(result.to_csv(sep=" ", header=False, index=False))
    if hasattr(result, "tolist"):
        result = result.tolist()
    if not isinstance(result, (list, tuple)):
        raise TypeError(
            f"run() returned {type(result).__name__}; it must return a list, tuple, array or DataFrame "
            "with one element for each file that went well"
        )
    return len(result), "".join(f"{element}\n" for element in result)


def load_script(path: str, arguments: list[str]) -> ModuleType:
    """Import the entry script under its own name, with its arguments and its folder in place."""
    script = Path(path).resolve()
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.parent)
    spec = importlib.util.spec_from_file_location(script.stem, script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, "run", None)):
        raise AttributeError(f"{path} has no function run(mini_batch)")
    return module


def work(settings_path: Path, answers: int) -> None:
    """Be a worker: import the script, then run mini-batches until the driver closes the pipe.

    An exception of ``shutdown`` shows in the log and changes nothing: the work is done by then.
    """
    os.set_inheritable(answers, False)
    requests = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    settings = json.loads(settings_path.read_text("utf-8"))
    try:
        module = load_script(settings["entry_script"], settings["arguments"])
        _call(module, "init")
    except BaseException as error:  # noqa: BLE001 - whatever the script raises, SystemExit too, is the user's message
        _answer(answers, _problem("init() or the import failed", error))
        return
    _answer(answers, {"ready": True})
    for line in requests:
        request = json.loads(line)
        try:
            count, text = rows_of(module.run(request["files"]))
            _leave(part_path(settings_path.parent / _PARTS, request["index"]), text)
            _answer(answers, {"returned": count})
        except BaseException as error:  # noqa: BLE001 - as above
            _answer(answers, _problem("run() raised", error))
    _call(module, "shutdown")


def _call(module: ModuleType, name: str) -> None:
    function = getattr(module, name, None)
    if callable(function):
        function()


def _problem(what: str, error: BaseException) -> dict[str, str]:
    traceback.print_exception(type(error), error, error.__traceback__)
    return {"problem": f"{what}: {type(error).__name__}: {error}"[:2000]}


def _answer(pipe: int, value: dict[str, Any]) -> None:
    sys.stdout.flush()
    os.write(pipe, json.dumps(value).encode() + b"\n")


def _leave(part: Path, text: str) -> None:
    temporary = part.with_name(f"{part.name}.{os.getpid()}")
    temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
    temporary.replace(part)


def main(arguments: list[str]) -> int:
    """Run the driver, or a worker; see the head of this file."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if arguments[0] == "--worker":
        work(Path(arguments[1]), int(arguments[2]))
        return 0
    try:
        Driver(Path(arguments[0])).run()
    except StopError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
