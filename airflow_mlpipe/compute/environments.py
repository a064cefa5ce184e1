"""Software of steps on this machine: built once for each content, in place, never used half-built.

    <folder>/<digest>.lock      held while building, by the builder and the installer that it runs
    <folder>/<digest>/          requirements.txt, build.log
    <folder>/<digest>/software  the virtual or conda environment
    <folder>/<digest>/complete  written last; without it the folder is rubbish

Environments hold their own path, so they are built where they stay instead of being renamed into place.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import platform
import shutil
import sys
import time
from collections import deque
from pathlib import Path
from typing import IO

import yaml

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.far_side.job_folder import remove_tree
from airflow_mlpipe.compute.far_side.launcher import inherited
from airflow_mlpipe.environment import EnvironmentDefinition
from airflow_mlpipe.errors import EnvironmentBuildError

logger = logging.getLogger(__name__)

_CONDA_TOOLS = ("micromamba", "mamba", "conda")
_TAIL = 15
_FOR_INSTALLERS = ("UV_", "PIP_", "CONDA", "MAMBA", "XDG_", "NETRC")
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


class EnvironmentCache:
    """Finds or builds the software of a step.

    :param folder: where environments are kept; several processes may share it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def interpreter(self, definition: EnvironmentDefinition) -> Path:
        """Return the Python of an environment, after building it if nobody has yet.

        While another process builds the same one this waits, without holding a thread.

        :raises EnvironmentBuildError: if it cannot be built; with the installer's last lines and what to do.
        """
        if definition.image is not None:
            raise EnvironmentBuildError(
                f"This compute target runs on the machine itself and cannot use the image {definition.image!r}. Name "
                "the packages in a conda_file or pip_requirements, or run the step on a target that runs images."
            )
        told = False
        while True:
            python = await loop.to_thread(self._find_or_build, definition)
            if python is not None:
                return python
            if not told:
                logger.info("Another process is building the same environment; waiting for it.")
            told = True
            await loop.sleep(0.2)

    def path(self, definition: EnvironmentDefinition) -> Path:
        """Return the folder of an environment, whether it exists or not. The machine's kind counts: wheels differ."""
        content = [definition.identity(), platform.machine(), platform.libc_ver()[0]]
        text = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return self.folder / hashlib.sha256(text.encode()).hexdigest()[:20]

    def _find_or_build(self, definition: EnvironmentDefinition) -> Path | None:
        """Return the interpreter, or ``None`` while somebody else builds."""
        place = self.path(definition)
        python = place / "software" / "bin" / "python"
        if _usable(place, python):
            return python
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with place.with_suffix(".lock").open("ab") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return None
                if not _usable(place, python):
                    _Build(definition, place, lock).run()
        except OSError as error:
            raise EnvironmentBuildError(
                f"The environment cannot be built in {place}: {error}. Check the folder's rights and the free space."
            ) from error
        return python


def _usable(place: Path, python: Path) -> bool:
    """Whether an environment is whole; one whose base interpreter was removed is not."""
    return (place / "complete").exists() and python.exists()


class _Build:
    def __init__(self, definition: EnvironmentDefinition, place: Path, lock: IO[bytes]) -> None:
        self.definition, self.place, self.lock = definition, place, lock
        self.software = place / "software"

    def run(self) -> None:
        started = time.monotonic()
        remove_tree(self.place)
        self.place.mkdir(parents=True)
        for name, text in self.definition.files().items():
            (self.place / name).write_text(text, encoding="utf-8")
        logger.info("Building the environment %s (%d requirements).", self.place.name, len(self.definition.pip))
        if self.definition.conda:
            self._conda()
        else:
            self._pip()
        (self.place / "complete").touch()
        logger.info("The environment %s was built in %.0f s.", self.place.name, time.monotonic() - started)

    def _pip(self) -> None:
        uv = _uv()
        python = _base_python(self.definition.python)
        self._install([uv, "venv", "--no-project", "--python", python, str(self.software)])
        if self.definition.pip:
            target = str(self.software / "bin" / "python")
            self._install([uv, "pip", "install", "--python", target, "--requirements", "requirements.txt"])

    def _conda(self) -> None:
        found = [path for path in map(shutil.which, _CONDA_TOOLS) if path]
        if not found:
            raise EnvironmentBuildError(
                f"The conda packages {', '.join(self.definition.conda)} need micromamba, mamba or conda on PATH, and "
                "none is there. Install one, or move these packages under 'pip:' in the conda file's dependencies."
            )
        (self.place / "environment.yml").write_text(yaml.safe_dump(self._conda_file()), encoding="utf-8")
        verb = ["create"] if Path(found[0]).name == "micromamba" else ["env", "create"]
        self._install([found[0], *verb, "--yes", "--prefix", str(self.software), "--file", "environment.yml"])

    def _conda_file(self) -> dict[str, object]:
        wanted = self.definition.python
        python = [f"python{'=' if wanted[0].isdigit() else ''}{wanted}"] if wanted else []
        pip = self.definition.files()["requirements.txt"].splitlines()
        dependencies: list[object] = [*python, *self.definition.conda, "pip", *([{"pip": pip}] if pip else [])]
        return {"channels": list(self.definition.channels) or ["conda-forge"], "dependencies": dependencies}

    def _install(self, command: list[str]) -> None:
        """Run an installer; it holds the lock too, so an orphaned one is never met by a second builder."""
        import subprocess  # noqa: PLC0415 - slow to import, and whoever only plans jobs builds nothing

        tail: deque[str] = deque(maxlen=_TAIL)
        with (
            (self.place / "build.log").open("a", encoding="utf-8") as log,
            subprocess.Popen(  # noqa: S603 - fixed words
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
            ) as process,
        ):
            for line in process.stdout or ():
                log.write(line)
                if line.strip():
                    tail.append(line.rstrip())
                    logger.info("%s", line.rstrip())
        if process.returncode != 0:
            self._fail(command, process.returncode, tail)

    def _fail(self, command: list[str], code: int, tail: deque[str]) -> None:
        if self.software.exists():
            remove_tree(self.software)
        shown = " ".join([Path(command[0]).name, *command[1:3]])
        raise EnvironmentBuildError(
            f"The environment cannot be built: '{shown}' ended with exit code {code}. Its last lines:\n"
            + "\n".join(f"  | {line}" for line in tail)
            + "\nCorrect the python version or the requirement lines; where packages come from is set on this machine "
            f"(uv.toml, UV_INDEX_URL). The full output is in {self.place / 'build.log'}."
        )


def _uv() -> str:
    try:
        import uv  # noqa: PLC0415 - only who builds needs it

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        found = shutil.which("uv")
        if found is None:
            raise EnvironmentBuildError("uv is missing, which builds environments. Run: pip install uv") from error
        return found


def _base_python(wanted: str | None) -> str:
    """Return what to give to ``uv --python``: our own interpreter where it fits, so that nothing is fetched."""
    own = platform.python_version_tuple()
    if wanted is None or wanted in (".".join(own), ".".join(own[:2]), own[0]):
        return sys.executable
    return wanted


def _installer_environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if _for_installer(name)}
    return {**inherited(), **own, "NO_COLOR": "1", "UV_NO_PROGRESS": "1", "PYTHONUNBUFFERED": "1"}


def _for_installer(name: str) -> bool:
    return name.startswith(_FOR_INSTALLERS) or name.lower() in _PROXIES
