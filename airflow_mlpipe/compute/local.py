"""Jobs on this machine that outlive the process that submitted them."""

from __future__ import annotations

import difflib
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute import launcher, loop
from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobSpec, JobState, JobStatus, LogChunk
from airflow_mlpipe.compute.environments import EnvironmentCache
from airflow_mlpipe.compute.job_folder import ExitRecord, JobFolder, check_spec, valid_key
from airflow_mlpipe.errors import ConfigError, TransientComputeError

_SPAWN_PATIENCE = 60.0
_STATES = {"cancelled": JobState.CANCELLED, "lost": JobState.LOST, "damaged": JobState.LOST}


class LocalTarget(ComputeTarget):
    """Runs each job under a launcher of its own, in a session of its own, in a folder named after the run key.

    Every process of this machine that is given the same ``workdir`` sees the same jobs. A job survives the end of the
    worker, also by SIGKILL of its process group; it does not survive the machine, nor the container that it runs in.

    :param name: the name under which the workspace knows it.
    :param workdir: folder of the jobs.
    :param python: interpreter of steps without an environment; ``None`` for the running one.
    :param environments: folder of built environments, ``None`` for ``<workdir>/environments``.
    """

    cancel_patience = 5.0
    """Seconds after the grace in which the launcher must have ended the job; then it is ended without the launcher."""

    def __init__(self, name: str, workdir: Path, python: Path | None = None, environments: Path | None = None) -> None:
        self.name = name
        self.workdir = workdir.resolve()
        self.python = (python or Path(sys.executable)).absolute()
        self.environments = EnvironmentCache((environments or self.workdir / "environments").resolve())

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> LocalTarget:
        """Build it from ``{"type": "local", "workdir": ..., "python"?: ..., "environments"?: ...}``.

        :param folder: relative paths start from it; a ``python`` without a slash is looked up on PATH.
        :raises ConfigError: if a key is unknown or a value is wrong.
        """
        check_keys(name, config, {"type", "workdir", "python", "environments"})
        texts = {key: value for key, value in config.items() if value is not None}
        if "workdir" not in texts:
            raise ConfigError(f"compute {name}: workdir is missing. Name a folder for its jobs, such as ./jobs.")
        for key, value in texts.items():
            if not isinstance(value, str) or not value.strip():
                raise ConfigError(f"compute {name}: {key} is {value!r}; write the path as text.")
        python = _interpreter(name, texts["python"], folder) if "python" in texts else None
        environments = folder / texts["environments"] if "environments" in texts else None
        return cls(name, folder / texts["workdir"], python, environments)

    async def submit(self, spec: JobSpec, key: str) -> JobHandle:
        """Start the job, or attach to the one that has this key. Its environment is built first if it must be.

        :raises SubmitRejectedError: if the command, a variable or a file name cannot be given to a process.
        :raises EnvironmentBuildError: if the step's software cannot be installed.
        :raises TransientComputeError: if the folder cannot be written or the launcher cannot be started.
        """
        check_spec(spec, key)
        job = JobFolder(self.workdir, key)
        if not await loop.to_thread(job.claimed):
            python, variables = self.python, dict[str, str]()
            if spec.environment is not None:
                python = await self.environments.interpreter(spec.environment)
                variables = {"CONDA_PREFIX" if spec.environment.conda else "VIRTUAL_ENV": str(python.parent.parent)}
            await loop.to_thread(self._start, job, spec, python, variables)
        return JobHandle(self.name, key, key)

    def _start(self, job: JobFolder, spec: JobSpec, python: Path, variables: dict[str, str]) -> None:
        try:
            with job.lock():
                if not job.path.exists():
                    job.stage(spec, python, variables)
                    self._staged(job, spec)
                if not job.claimed():
                    self._spawn(job.path)
        except OSError as error:
            raise TransientComputeError(
                f"The job {job.key} cannot be prepared in {self.workdir}: {error}. Check its rights and free space."
            ) from error

    def _staged(self, job: JobFolder, spec: JobSpec) -> None:
        """Take note of a new job; nothing to do here."""

    def _launcher_options(self) -> list[str]:
        return []

    def _spawn(self, folder: Path) -> None:
        """Start the launcher, away from us; returns when it has claimed the job."""
        command = [
            sys.executable,
            "-I",
            "-S",
            "-B",
            str(folder / "launcher.py"),
            *self._launcher_options(),
            str(folder),
        ]
        import subprocess  # noqa: PLC0415 - slow to import, and whoever only plans jobs starts none

        try:
            done = subprocess.run(  # noqa: S603 - our own words
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd="/",
                env=launcher.inherited(),
                timeout=_SPAWN_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TransientComputeError(f"The launcher of {folder} did not answer in {_SPAWN_PATIENCE:g} s.") from error
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise TransientComputeError(f"The launcher of {folder} did not start: {said or done.returncode}")

    def _job(self, key: str) -> JobFolder | None:
        return JobFolder(self.workdir, key) if valid_key(key) else None

    async def find(self, key: str) -> JobHandle | None:
        """Return the job with this key, ``None`` also for one that was staged but never started: submit it again."""
        job = self._job(key)
        found = job is not None and await loop.to_thread(job.claimed)
        return JobHandle(self.name, key, key) if found else None

    async def status(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """Return the status of each job; a job whose launcher is gone without a record is recorded as lost."""
        return await loop.to_thread(lambda: [self._status(handle) for handle in handles])

    def _status(self, handle: JobHandle) -> JobStatus:
        job = self._job(handle.key)
        if job is None:
            return JobStatus(
                JobState.LOST, f"The job {handle.key!r} is not known here: this is no run key.", raw="lost"
            )
        settled = job.settle()
        return _ended(settled) if isinstance(settled, ExitRecord) else JobStatus(JobState(settled), raw=settled)

    async def logs(self, handle: JobHandle, cursor: str | None = None, limit: int = 65536) -> LogChunk:
        """Return output from the cursor on; the cursor is a byte position."""
        job = self._job(handle.key)
        offset = int(cursor) if cursor and cursor.isascii() and cursor.isdigit() else 0
        if job is None:
            return LogChunk(b"", str(offset), eof=True)
        data, eof = await loop.to_thread(job.read_log, offset, limit)
        return LogChunk(data, str(offset + len(data)), eof)

    async def cancel(self, handle: JobHandle, grace: float = 10.0) -> None:
        """End the job and all its processes; returns when they are gone, or a few seconds after the grace."""
        job = self._job(handle.key)
        if job is None or not await loop.to_thread(job.ask_to_end, grace):
            return
        if not await self._gone(job, grace + self.cancel_patience):
            await loop.to_thread(job.force_end)
            await self._gone(job, self.cancel_patience)

    async def _gone(self, job: JobFolder, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while not isinstance(await loop.to_thread(job.settle), ExitRecord):
            if time.monotonic() > deadline:
                return False
            await loop.sleep(0.05)
        return True

    async def forget(self, handle: JobHandle) -> None:
        """Remove the job's folder.

        :raises ComputeError: if the job has not ended.
        """
        job = self._job(handle.key)
        if job is not None:
            await loop.to_thread(job.remove)

    def log_location(self, handle: JobHandle) -> str:
        """Return the path of the log file."""
        job = self._job(handle.key)
        return str(job.log) if job else f"compute target {self.name}"


def _ended(record: ExitRecord) -> JobStatus:
    default = JobState.SUCCEEDED if record.exit_code == 0 else JobState.FAILED
    state = _STATES.get(record.reason, default if not record.reason else JobState.FAILED)
    words = [] if record.reason or state is JobState.SUCCEEDED else [_how(record)]
    return JobStatus(
        state=state,
        message=" ".join([*words, record.message]).strip(),
        exit_code=record.exit_code,
        raw=record.reason or "exit",
        metrics=record.metrics,
        seconds=record.seconds,
    )


def _how(record: ExitRecord) -> str:
    code, number = record.exit_code, record.signal
    if number is None and code is not None and 128 < code < 128 + signal.NSIG:
        number = code - 128
    try:
        name = signal.Signals(number).name if number else ""
    except ValueError:
        name = f"signal {number}"
    hint = " Linux ends processes this way when memory runs out." if number == signal.SIGKILL else ""
    if code is None:
        return f"The command was killed by {name or 'a signal'}.{hint}"
    return f"The command ended with exit code {code}{f' ({name})' if name else ''}.{hint}"


def check_keys(name: str, config: Mapping[str, Any], known: set[str]) -> None:
    """Refuse keys that a compute target does not know.

    :raises ConfigError: naming the key and the closest known one.
    """
    for key in sorted(map(str, set(config) - known)):
        close = difflib.get_close_matches(key, sorted(known), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"compute {name}: unknown key {key!r}. Known: {', '.join(sorted(known))}.{hint}")


def _interpreter(name: str, value: str, folder: Path) -> Path:
    found = str(folder / value) if "/" in value else shutil.which(value)
    if found is None:
        raise ConfigError(f"compute {name}: python {value!r} is not on PATH. Write the path of a Python 3 interpreter.")
    return Path(found)
