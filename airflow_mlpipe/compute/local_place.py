"""Job folders on this machine, or on storage that it shares with others."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.archive import Archive, far_side_archive
from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.environments import EnvironmentCache
from airflow_mlpipe.compute.far_side import records
from airflow_mlpipe.compute.far_side.desk import Desk, LaunchError, program_in_place
from airflow_mlpipe.compute.far_side.job_folder import StillRunningError
from airflow_mlpipe.compute.job_payload import launcher_spec
from airflow_mlpipe.compute.place import Finished, Place, Settled
from airflow_mlpipe.environment import EnvironmentDefinition, installed_packages
from airflow_mlpipe.errors import ComputeError, TransientComputeError

_T = TypeVar("_T")


class LocalPlace(Place):
    """A working folder of this machine.

    :param workdir: folder of the jobs.
    :param python: interpreter of steps without an environment.
    :param environments: keeps built environments.
    :param launcher_options: of every launcher.
    :param on_stage: told of each job that was laid out here.
    """

    def __init__(
        self,
        workdir: Path,
        python: Path,
        environments: EnvironmentCache,
        launcher_options: Sequence[str] = (),
        on_stage: Callable[[str, JobSpec], None] = lambda _key, _spec: None,
    ) -> None:
        self.workdir = workdir.resolve()
        self.python = python
        self.environments = environments
        self.desk = Desk(self.workdir, program_in_place())
        self.endpoint = f"local:{self.workdir}"
        self._options = launcher_options
        self._on_stage = on_stage

    async def program(self) -> list[str]:
        """Return the words that start the far side; the file lies in the working folder, so other nodes see it too."""
        return await self._do(self._program)

    def _program(self) -> list[str]:
        archive = far_side_archive()
        return [sys.executable, "-I", "-S", "-B", str(write_archive(archive, self.workdir))]

    def folder(self, key: str) -> str:
        """Return the path of a job's folder."""
        return str(self.workdir / key)

    def log_location(self, key: str) -> str:
        """Return the path of the log file."""
        return str(self.workdir / key / records.LOG) if self.desk.job(key) else f"a job in {self.workdir}"

    async def interpreter(self, definition: EnvironmentDefinition) -> str:
        """Return the Python of an environment; see :meth:`EnvironmentCache.interpreter`."""
        return str(await self.environments.interpreter(definition))

    def software(self) -> Mapping[str, str]:
        """Return what the interpreter has installed."""
        return installed_packages(str(self.python))

    async def claimed(self, key: str) -> bool:
        """Whether a launcher has taken the job, or it has ended before one did."""
        return await self._do(self.desk.claimed, key)

    async def stage(self, spec: JobSpec, key: str, *, waits: bool = False) -> None:
        """Lay out the job's folder, whole; nothing happens if it is there."""
        python = str(self.python) if spec.environment is None else await self.interpreter(spec.environment)
        await self._do(self._stage, spec, key, launcher_spec(spec, python, waits=waits), python)

    def _stage(self, spec: JobSpec, key: str, plain: dict[str, Any], python: str) -> None:
        if self.desk.stage(key, plain, python, lambda folder: _fill(folder, spec)):
            self._on_stage(key, spec)

    async def start(self, key: str) -> None:
        """Start the launcher of a staged job, away from us; returns when the job is claimed."""
        await self._do(self.desk.start, key, self._options)

    async def settle(self, keys: Sequence[str]) -> list[Settled]:
        """Return what is known of each job; one that died without a record gets it here."""
        return await self._do(self._settle, keys)

    def _settle(self, keys: Sequence[str]) -> list[Settled]:
        endings = self.desk.settle(keys)
        return [Settled(*both) for both in zip(endings, self.desk.log_sizes(keys), strict=True)]

    async def wait(self, key: str, seconds: float) -> None:
        """Let some seconds pass, fewer if the job's launcher runs on this machine and ends."""
        try:
            descriptor = await loop.to_thread(self.desk.launcher_descriptor, key)
        except ProcessLookupError:
            return
        if descriptor is None:
            await loop.sleep(seconds)
            return
        try:
            await loop.readable(descriptor, seconds)
        finally:
            os.close(descriptor)

    async def give_up(self, key: str, reason: str = "lost", message: str = "") -> bool:
        """End a staged job that no launcher has claimed."""
        return await self._do(self.desk.give_up, key, reason, message)

    async def read_log(self, key: str, offset: int, limit: int) -> tuple[bytes, bool]:
        """Return output from a byte on, and whether it is all there will ever be."""
        return await self._do(self.desk.read_log, key, offset, limit)

    async def ask_to_end(self, key: str, grace: float) -> bool:
        """Ask the launcher to end the job; return whether there is anything to wait for."""
        return await self._do(self.desk.ask_to_end, key, grace)

    async def force_end(self, key: str) -> None:
        """End the job without its launcher."""
        await self._do(self.desk.force_end, key)

    async def remove(self, key: str) -> None:
        """Remove everything of a job that has ended."""
        try:
            await self._do(self.desk.remove, key)
        except StillRunningError as error:
            raise ComputeError(str(error)) from None

    async def outputs(self, key: str) -> dict[str, Any]:
        """Return the digests of the outputs of an ended job."""
        return await self._do(self.desk.outputs, key) or {}

    async def run(self, command: Sequence[str], given: bytes = b"") -> Finished:
        """Run a short command of ours, words and no shell."""
        return Finished(*await self._do(self.desk.run, command, given))

    async def _do(self, work: Callable[..., _T], *arguments: Any) -> _T:
        try:
            return await loop.to_thread(work, *arguments)
        except LaunchError as error:
            raise TransientComputeError(str(error)) from error
        except OSError as error:
            raise TransientComputeError(
                f"Jobs cannot be prepared or looked at in {self.workdir}: {error}. Check its rights and free space."
            ) from error


def _fill(folder: Path, spec: JobSpec) -> None:
    for name, text in spec.files.items():
        (folder / records.FILES / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    if spec.code is not None:
        spec.code.copy_to(folder / records.CODE)


def write_archive(archive: Archive, workdir: Path) -> Path:
    """Lay the far side's file into a working folder, once, and return its path."""
    path = workdir / archive.name
    if not path.exists():
        workdir.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
        temporary.write_bytes(archive.data)
        temporary.replace(path)
    return path
