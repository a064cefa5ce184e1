"""All jobs of one working folder: staged, started, looked at, ended. What a target asks for, wherever it lies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.far_side.job_folder import ExitRecord, JobFolder, valid_key
from airflow_mlpipe.compute.far_side.launcher import inherited

_SPAWN_PATIENCE = 60.0


class LaunchError(Exception):
    """The launcher of a job did not start."""


class Desk:
    """The jobs of one working folder.

    :param root: the working folder, absolute and without symlinks.
    :param program: the words that start this package's far side: interpreter, options, file.
    """

    def __init__(self, root: Path, program: Sequence[str]) -> None:
        self.root = root
        self.program = list(program)

    def job(self, key: str) -> JobFolder | None:
        """Return the folder of a job, whether it exists or not; ``None`` for a key that is none."""
        return JobFolder(self.root, key) if valid_key(key) else None

    def claimed(self, key: str) -> bool:
        """Whether a launcher has taken the job, or it has ended before one did."""
        job = self.job(key)
        return job is not None and job.claimed()

    def stage(self, key: str, spec: dict[str, Any], python: str, fill: Callable[[Path], None]) -> bool:
        """Lay out the job's folder unless it is there; see :meth:`JobFolder.stage`. Return whether it was us.

        :raises OSError: if it cannot be written.
        """
        job = JobFolder(self.root, key)
        with job.lock():
            if job.path.exists():
                return False
            job.stage(spec, python, fill)
            return True

    def start(self, key: str, options: Sequence[str] = ()) -> None:
        """Start the launcher of a staged job, away from us; returns when the job is claimed.

        :param options: of the launcher.
        :raises LaunchError: if it does not start; starting it again is safe.
        """
        job = JobFolder(self.root, key)
        with job.lock():
            if not job.claimed():
                spawn([*self.program, "launch", *options, str(job.path)], job.path)

    def settle(self, keys: Sequence[str]) -> list[ExitRecord | str]:
        """Return for each job how it ended, or ``queued`` or ``running``; a job that died gets its record here."""
        return [self._settle(key) for key in keys]

    def _settle(self, key: str) -> ExitRecord | str:
        job = self.job(key)
        if job is None:
            return ExitRecord("lost", f"The job {key!r} is not known here: this is no run key.")
        return job.settle()

    def give_up(self, key: str, reason: str = "lost", message: str = "") -> bool:
        """End a staged job that no launcher has claimed; return whether there was one."""
        job = self.job(key)
        return job is not None and job.give_up(reason, message)

    def launcher_descriptor(self, key: str) -> int | None:
        """Return what becomes readable when the job's launcher ends.

        :raises ProcessLookupError: if it has; see :meth:`JobFolder.launcher_descriptor`.
        """
        job = self.job(key)
        return job.launcher_descriptor() if job else None

    def log_sizes(self, keys: Sequence[str]) -> list[int]:
        """Return how many bytes of output there are of each job."""
        return [self._log_size(key) for key in keys]

    def _log_size(self, key: str) -> int:
        job = self.job(key)
        try:
            return job.log.stat().st_size if job else 0
        except OSError:
            return 0

    def read_log(self, key: str, offset: int, limit: int) -> tuple[bytes, bool]:
        """Return output from a byte on, and whether it is all there will ever be."""
        job = self.job(key)
        return job.read_log(offset, limit) if job else (b"", True)

    def ask_to_end(self, key: str, grace: float) -> bool:
        """Ask the launcher to end the job; return whether there is anything to wait for."""
        job = self.job(key)
        return job is not None and job.ask_to_end(grace)

    def force_end(self, key: str) -> None:
        """End the job without its launcher."""
        job = self.job(key)
        if job is not None:
            job.force_end()

    def remove(self, key: str) -> None:
        """Remove everything of a job that has ended.

        :raises StillRunningError: if it has not.
        """
        job = self.job(key)
        if job is not None:
            job.remove()

    def run(self, command: Sequence[str], given: bytes = b"") -> tuple[int, bytes, bytes]:
        """Run a short command, words and no shell; return its exit code, output and errors.

        :raises OSError: if there is no such program.
        """
        import subprocess  # noqa: PLC0415 - slow to import, and whoever only plans jobs starts none

        try:
            done = subprocess.run(  # noqa: S603 - the words are our own
                list(command), input=given, capture_output=True, cwd="/", timeout=_SPAWN_PATIENCE, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LaunchError(f"{command[0]} did not end in {_SPAWN_PATIENCE:g} s.") from error
        return done.returncode, done.stdout, done.stderr

    def outputs(self, key: str) -> dict[str, Any] | None:
        """Return the digests that the launcher left of the outputs; ``None`` if it left none."""
        job = self.job(key)
        return job.outputs() if job else None


def spawn(command: Sequence[str], what: Path) -> None:
    """Run a program that goes to the background by itself.

    :param what: named in errors.
    :raises LaunchError: if it says that it could not, or says nothing for a minute.
    """
    import subprocess  # noqa: PLC0415 - slow to import, and whoever only plans jobs starts none

    try:
        done = subprocess.run(  # noqa: S603 - our own words
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            env=inherited(),
            timeout=_SPAWN_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LaunchError(f"The launcher of {what} did not answer in {_SPAWN_PATIENCE:g} s.") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise LaunchError(f"The launcher of {what} did not start: {said or done.returncode}")


def program_in_place() -> list[str]:
    """Return the words that start the far side on this machine from the files that are installed here."""
    top = str(Path(__file__).resolve().parents[3])
    code = (
        f"import sys; sys.path.append({top!r}); from airflow_mlpipe.compute.far_side.program import main; "
        "main(sys.argv[1:])"
    )
    return [sys.executable, "-I", "-S", "-B", "-c", code]
