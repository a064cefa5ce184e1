"""Software of steps on the machine where they run: built once for each content, in place, never used half-built.

    <folder>/<digest>.lock      held while building, by the builder and the installer that it runs
    <folder>/<digest>/          requirements.txt, build.log
    <folder>/<digest>/software  the virtual or conda environment
    <folder>/<digest>/complete  written last; without it the folder is rubbish
    <folder>/<digest>.failed    what the last builder said, for whoever waits for it

Environments hold their own path, so they are built where they stay instead of being renamed into place.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from airflow_mlpipe.compute.far_side.interpreters import BuildError, base_python, find_uv, fitting_python
from airflow_mlpipe.compute.far_side.job_folder import remove_tree
from airflow_mlpipe.compute.far_side.launcher import inherited

CONDA_TOOLS = ("micromamba", "mamba", "conda")
LOG = "build.log"
_TAIL = 15
_FOR_INSTALLERS = ("UV_", "PIP_", "CONDA", "MAMBA", "XDG_", "NETRC")
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


def environment_folder(folder: Path, identity: str) -> Path:
    """Return the folder of an environment, whether it exists or not. The machine's kind counts: wheels differ.

    :param identity: text that is equal for equal content.
    """
    content = json.dumps([identity, platform.machine(), platform.libc_ver()[0]], ensure_ascii=True)
    return folder / hashlib.sha256(content.encode()).hexdigest()[:20]


def python_of(place: Path) -> Path:
    """Return where the interpreter of an environment is, once it is built."""
    return place / "software" / "bin" / "python"


def usable(place: Path) -> bool:
    """Whether an environment is whole; one whose base interpreter was removed is not."""
    return (place / "complete").exists() and python_of(place).exists()


@contextmanager
def building(place: Path) -> Iterator[IO[bytes] | None]:
    """Be the only one who builds an environment; gives ``None`` while somebody else is."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield lock


class Build:
    """The building of one environment.

    :param request: plain values: ``python`` (a version, or ``None``), ``pip`` (whether there are requirements),
        ``conda`` (package specs), ``files`` (name to text: ``requirements.txt``, ``environment.yml``).
    :param place: its folder.
    :param lock: of its folder, held.
    :param say: takes lines of progress.
    :param uv: the path of uv; looked for if it is not given.
    """

    def __init__(
        self, request: dict[str, Any], place: Path, lock: IO[bytes], say: Callable[[str], None], uv: str | None = None
    ) -> None:
        self.request, self.place, self.lock, self.say, self.uv = request, place, lock, say, uv
        self.software = place / "software"

    def run(self) -> None:
        """Build it.

        :raises BuildError: with the installer's last lines and what to do.
        :raises OSError: if the folder cannot be written.
        """
        started = time.monotonic()
        remove_tree(self.place)
        self.place.mkdir(parents=True)
        for name, text in self.request["files"].items():
            (self.place / name).write_text(text, encoding="utf-8")
        lines = self.request["files"]["requirements.txt"].count("\n")
        self.say(f"Building the environment {self.place.name} ({lines} requirements).")
        if self.request["conda"]:
            self._conda()
        else:
            self._pip()
        (self.place / "complete").touch()
        self.say(f"The environment {self.place.name} was built in {time.monotonic() - started:.0f} s.")

    def _pip(self) -> None:
        uv = self.uv or find_uv()
        target = str(python_of(self.place))
        if uv:
            python = base_python(self.request["python"])
            self._install([uv, "venv", "--no-project", "--python", python, str(self.software)])
            command = [uv, "pip", "install", "--python", target, "--requirements", "requirements.txt"]
        else:
            self._install([fitting_python(self.request["python"]), "-m", "venv", str(self.software)])
            command = [target, "-m", "pip", "install", "--disable-pip-version-check", "--requirement"]
            command.append("requirements.txt")
        if self.request["pip"]:
            self._install(command)

    def _conda(self) -> None:
        found = [path for path in map(shutil.which, CONDA_TOOLS) if path]
        if not found:
            raise BuildError(
                f"The conda packages {', '.join(self.request['conda'])} need micromamba, mamba or conda on PATH, and "
                "none is there. Install one, or move these packages under 'pip:' in the conda file's dependencies."
            )
        verb = ["create"] if Path(found[0]).name == "micromamba" else ["env", "create"]
        self._install([found[0], *verb, "--yes", "--prefix", str(self.software), "--file", "environment.yml"])

    def _install(self, command: list[str]) -> None:
        """Run an installer; it holds the lock too, so an orphaned one is never met by a second builder."""
        import subprocess  # noqa: PLC0415 - slow to import, and whoever only plans jobs builds nothing

        tail: deque[str] = deque(maxlen=_TAIL)
        log = (self.place / LOG).open("a", encoding="utf-8")
        process = subprocess.Popen(  # noqa: S603 - fixed words
            command,
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_installer_environment(),
            pass_fds=[self.lock.fileno()],
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        with log, process:
            for line in process.stdout or ():
                log.write(line)
                log.flush()
                if line.strip():
                    tail.append(line.rstrip())
                    self.say(line.rstrip())
        if process.returncode != 0:
            self._fail(command, process.returncode, tail)

    def _fail(self, command: list[str], code: int, tail: deque[str]) -> None:
        if self.software.exists():
            remove_tree(self.software)
        shown = " ".join([Path(command[0]).name, *command[1:3]])
        lacking = "venv" in command and "ensurepip" in "".join(tail)
        hint = "Install uv on that machine, or its package python3-venv. " if lacking else ""
        raise BuildError(
            f"The environment cannot be built: '{shown}' ended with exit code {code}. Its last lines:\n"
            + "\n".join(f"  | {line}" for line in tail)
            + f"\n{hint}Correct the python version or the requirement lines; where packages come from is set on the "
            "machine that builds "
            f"(uv.toml, pip.conf, UV_INDEX_URL). The full output is in {self.place / LOG}."
        )


def _installer_environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if _for_installer(name)}
    return {**inherited(), **own, "NO_COLOR": "1", "UV_NO_PROGRESS": "1", "PYTHONUNBUFFERED": "1"}


def _for_installer(name: str) -> bool:
    return name.startswith(_FOR_INSTALLERS) or name.lower() in _PROXIES
