"""What all targets share whose jobs lie in folders: submit, look, cancel. They differ in place and engine."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobSpec, JobState, JobStatus, LogChunk
from airflow_mlpipe.compute.far_side.job_folder import ExitRecord
from airflow_mlpipe.compute.job_check import check_spec
from airflow_mlpipe.compute.place import Place, Settled

_STATES = {"cancelled": JobState.CANCELLED, "lost": JobState.LOST, "damaged": JobState.LOST}


class FolderTarget(ComputeTarget):
    """Jobs in the folders of a place, each started as a plain process there.

    A target whose engine starts the launcher overrides :meth:`_launch` and :meth:`_stop`, stages with ``waits``, and
    asks the engine in :meth:`status` only for jobs that are ``queued`` there: what the folder says outranks it.

    :param name: the name under which the workspace knows it.
    :param place: where the folders are.
    """

    waits = False
    """Whether an engine starts the launcher when it pleases."""
    cancel_patience = 5.0
    """Seconds after the grace in which the launcher must have ended the job; then it is ended without the launcher."""

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        self.place = place

    @property
    def endpoint(self) -> str:
        """The place."""
        return self.place.endpoint

    def software(self) -> Mapping[str, str]:
        """Return what the place's own Python has installed."""
        return self.place.software()

    async def submit(self, spec: JobSpec, key: str) -> JobHandle:
        """Start the job, or attach to the one that has this key. Its environment is built first if it must be.

        :raises SubmitRejectedError: if the command, a variable or a file name cannot be given to a process.
        :raises EnvironmentBuildError: if the step's software cannot be installed.
        :raises TransientComputeError: if the place cannot be reached or written, or the launcher cannot be started.
        """
        check_spec(spec, key)
        if not await self.place.claimed(key):
            await self.place.stage(spec, key, waits=self.waits)
            await self._launch(spec, key)
        return self._handle(key)

    def _handle(self, key: str) -> JobHandle:
        return JobHandle(self.name, key, key)

    async def _launch(self, spec: JobSpec, key: str) -> None:  # noqa: ARG002 - engines want the resources
        await self.place.start(key)

    async def find(self, key: str) -> JobHandle | None:
        """Return the job with this key, ``None`` also for one that was staged but never started: submit it again."""
        return self._handle(key) if await self.place.claimed(key) else None

    async def status(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """Return the status of each job; a job whose launcher is gone without a record is recorded as lost."""
        settled = await self.place.settle([handle.key for handle in handles]) if handles else []
        return [as_status(each) for each in settled]

    async def wait(self, handle: JobHandle, seconds: float) -> None:
        """Let some seconds pass, fewer if the place sees the job end."""
        await self.place.wait(handle.key, seconds)

    async def logs(self, handle: JobHandle, cursor: str | None = None, limit: int = 65536) -> LogChunk:
        """Return output from the cursor on; the cursor is a byte position."""
        offset = int(cursor) if cursor and cursor.isascii() and cursor.isdigit() else 0
        data, eof = await self.place.read_log(handle.key, offset, limit)
        return LogChunk(data, str(offset + len(data)), eof)

    async def left_behind(self, handle: JobHandle) -> Mapping[str, Mapping[str, Sequence[int | str]]]:
        """Return the digests that the launcher left of the outputs."""
        return await self.place.outputs(handle.key)

    async def cancel(self, handle: JobHandle, grace: float = 10.0) -> None:
        """End the job and all its processes; returns when they are gone, or a few seconds after the grace."""
        if not await self.place.ask_to_end(handle.key, grace):
            return
        await self._stop(handle, grace)
        if not await self._gone(handle.key, grace + self.cancel_patience):
            await self.place.force_end(handle.key)
            await self._gone(handle.key, self.cancel_patience)

    async def _stop(self, handle: JobHandle, grace: float) -> None:
        """Tell the engine that the job shall end; there is none here."""

    async def _gone(self, key: str, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while not isinstance((await self.place.settle([key]))[0].ending, ExitRecord):
            if time.monotonic() > deadline:
                return False
            await loop.sleep(0.05)
        return True

    async def forget(self, handle: JobHandle) -> None:
        """Remove the job's folder.

        :raises ComputeError: if the job has not ended.
        """
        await self.place.remove(handle.key)

    def log_location(self, handle: JobHandle) -> str:
        """Return where the log file is."""
        return self.place.log_location(handle.key)


def as_status(settled: Settled) -> JobStatus:
    """Return what a job's folder says as a status."""
    record, end = settled.ending, str(settled.log_size)
    if not isinstance(record, ExitRecord):
        return JobStatus(JobState(record), raw=record, log_end=end)
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
        log_end=end,
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
