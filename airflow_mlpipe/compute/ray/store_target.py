"""Jobs on a Ray cluster that shares nothing with this machine but a store.

The job travels as a package of Ray's. Its node fetches the inputs from the store and sends outputs, log and exit record
to it, with rights that are limited and end. See :mod:`airflow_mlpipe.compute.ray.job_records` for what lies there.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobSpec, JobState, JobStatus, LogChunk
from airflow_mlpipe.compute.far_side.job_folder import ExitRecord, valid_key
from airflow_mlpipe.compute.far_side.records import INPUTS, OUTPUTS
from airflow_mlpipe.compute.folder_target import as_status
from airflow_mlpipe.compute.job_check import check_spec
from airflow_mlpipe.compute.job_parts import Capabilities, Carried, Role
from airflow_mlpipe.compute.job_payload import launcher_spec
from airflow_mlpipe.compute.place import Settled
from airflow_mlpipe.compute.ray.client import RayClient
from airflow_mlpipe.compute.ray.job_records import JobRecords, ReportStore
from airflow_mlpipe.compute.ray.package import build_package
from airflow_mlpipe.compute.ray.request import check_resources, job_request
from airflow_mlpipe.compute.ray.settings import RaySettings
from airflow_mlpipe.compute.ray.words import Opinion, opinion
from airflow_mlpipe.errors import ComputeError, ConfigError, StoreError, SubmitRejectedError, TransientComputeError

_T = TypeVar("_T")
_DAY = 86400.0
_NOT_SEEN_YET = 60.0
"""Seconds in which Ray may not know a job that it was just given."""
_CANCEL_PATIENCE = 15.0
_POLL = 0.25


class RayStoreTarget(ComputeTarget):
    """Runs each job as one Ray job that reports to the workspace's default datastore.

    :param settings: where the cluster is; without a ``workdir``.
    """

    def __init__(self, settings: RaySettings) -> None:
        self.name = settings.name
        self.settings = settings
        self.client = RayClient(settings)
        self._store: Callable[[], object] | None = None
        self.capabilities = Capabilities(
            shares_files=False,
            gives=frozenset({"cpus", "memory", "gpus", "instance_count"}),
            distributions=frozenset({"ray"}),
            moves_data=True,
        )

    @property
    def endpoint(self) -> str:
        """The cluster."""
        return f"ray:{self.settings.address}"

    def use_store(self, store: Callable[[], object]) -> None:
        """Take note of where jobs report to."""
        self._store = store

    def seen_as(self, key: str, role: Role, port: str, here: Path) -> str:  # noqa: ARG002 - nothing of here is there
        """Return the path under which the job sees its data, on its node."""
        return f"{self._folder(key)}/{key}/{INPUTS if role == 'input' else OUTPUTS}/{port}"

    def _folder(self, key: str) -> str:
        """Return the working folder on the node, which goes with the job."""
        return f"{self.settings.node_workdir}/{key}"

    def log_location(self, handle: JobHandle) -> str:
        """Return where the pieces of the log are."""
        return f"{self._records(handle.key).prefix}/log in the default datastore"

    def _records(self, key: str) -> JobRecords:
        store = self._store() if self._store else None
        if not isinstance(store, ReportStore):
            raise ConfigError(
                f"compute {self.name} has no workdir, so its jobs report to the default datastore, and that must be "
                "one of type azure_blob. Name a workdir that this machine and all nodes see, or use such a datastore."
            )
        return JobRecords(store, key)

    async def _do(self, work: Callable[..., _T], *arguments: Any) -> _T:
        try:
            return await loop.to_thread(work, *arguments)
        except StoreError as error:
            raise TransientComputeError(str(error)) from error

    async def submit(self, spec: JobSpec, key: str) -> JobHandle:
        """Start the job, or attach to the one that has this key.

        :raises SubmitRejectedError: if the job asks for what it cannot have here, or Ray does not take it.
        :raises TransientComputeError: if Ray or the store does not answer.
        """
        check_resources(self.name, spec.resources)
        check_spec(spec, key)
        self._check(spec)
        job = self._records(key)
        name = await self._name(key)
        if await self._do(job.submitted) is None or (await self.client.job(name)).status == 404:
            body = await self._packed(spec, job)
            await self._do(job.note_submission)
            await self.client.post_once(body, name)
        return JobHandle(self.name, key, name)

    def _check(self, spec: JobSpec) -> None:
        if spec.environment is not None:
            raise SubmitRejectedError(
                f"compute {self.name} has no workdir, so no environment can be built for its nodes. Name a workdir "
                "that all of them see, or install the software on the nodes and leave the step's environment out."
            )
        for item in spec.carried:
            if item.remote is None:
                raise SubmitRejectedError(
                    f"{item.role} {item.port}: compute {self.name} shares no folder with this machine, and its nodes "
                    "can read and write Azure Blob Storage only, opened with a key or an identity. Put the data there."
                )

    async def _packed(self, spec: JobSpec, job: JobRecords) -> dict[str, Any]:
        """Send the job's package and return the request that starts it."""
        seconds = (spec.timeout or _DAY) + _DAY
        plain = {
            "key": job.key,
            "workdir": self._folder(job.key),
            "python": self.settings.python,
            "spec": launcher_spec(spec, self.settings.python, waits=True),
            **await self._do(job.rights, seconds),
        }
        package = await self._do(build_package, spec, plain)
        await self.client.put_package(package.name, package.data)
        words = [self.settings.python, "-I", "-S", "-B", package.program, "unpack"]
        body = job_request(shlex.join(words), await self._name(job.key), spec.resources)
        return {**body, "runtime_env": {"working_dir": f"gcs://{package.name}"}}

    async def _name(self, key: str) -> str:
        return await self._do(self._records(key).ray_id)

    async def find(self, key: str) -> JobHandle | None:
        """Return the job with this key, whoever submitted it."""
        if not valid_key(key) or await self._do(self._records(key).submitted) is None:
            return None
        known = await self._do(self._records(key).ended) or (await self.client.job(await self._name(key))).status == 200
        return JobHandle(self.name, key, await self._name(key)) if known else None

    async def status(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """Return the status of each job: Ray's opinion while it lives, then what its exit record says."""
        return list(await asyncio.gather(*(self._status(handle.key) for handle in handles)))

    async def _status(self, key: str) -> JobStatus:
        if not valid_key(key):
            return JobStatus(JobState.LOST, f"The job {key!r} is not known here: this is no run key.", raw="lost")
        said = opinion(await self.client.job(await self._name(key)))
        if said.state is JobState.RUNNING:
            return JobStatus(said.state, said.message, raw=said.raw)
        return await self._do(self._judged, self._records(key), said)

    def _judged(self, job: JobRecords, said: Opinion) -> JobStatus:
        """Return the status of a job that Ray calls waiting or ended, or does not know."""
        record = job.ended()
        if record is None and not said.state.is_terminal:
            return JobStatus(said.state, said.message, raw=said.raw)
        if record is None:
            submitted = job.submitted()
            if submitted is None:
                return JobStatus(JobState.LOST, f"The job {job.key} is not known here.", raw="lost")
            if said.unknown and time.time() - submitted < _NOT_SEEN_YET:
                return JobStatus(JobState.QUEUED, said.message, raw=said.raw)
            reason = "lost" if said.raw in ("404", "SUCCEEDED") else said.reason
            job.end(reason, self.client.clean(said.message))
            record = job.ended() or ExitRecord(reason)
        return as_status(Settled(record, job.log_size()))

    async def logs(self, handle: JobHandle, cursor: str | None = None, limit: int = 65536) -> LogChunk:
        """Return output from the cursor on; the cursor is a byte position."""
        offset = int(cursor) if cursor and cursor.isascii() and cursor.isdigit() else 0
        if not valid_key(handle.key):
            return LogChunk(b"", str(offset), eof=True)
        job = self._records(handle.key)
        ended = await self._do(job.ended) is not None or await self._do(job.submitted) is None
        data, more = await self._do(job.read_log, offset, limit)
        return LogChunk(data, str(offset + len(data)), ended and not more)

    async def collect(self, handle: JobHandle, carried: Sequence[Carried]) -> None:
        """Do nothing: jobs send their outputs to the store by themselves."""

    async def left_behind(self, handle: JobHandle) -> Mapping[str, Mapping[str, Sequence[int | str]]]:
        """Return the digests that the job left of its outputs."""
        return await self._do(self._records(handle.key).outputs)

    async def cancel(self, handle: JobHandle, grace: float = 10.0) -> None:
        """End the job. One that waits is ended by taking its claim; one that runs by Ray, which leaves it 3 s."""
        if not valid_key(handle.key) or (await self._status(handle.key)).state.is_terminal:
            return
        job = self._records(handle.key)
        waits = await self._do(job.cancel)
        with suppress(ComputeError):
            await self.client.stop(await self._name(handle.key))
        deadline = time.monotonic() + grace + _CANCEL_PATIENCE
        while not waits and not (await self._status(handle.key)).state.is_terminal and time.monotonic() < deadline:
            await loop.sleep(_POLL)

    async def forget(self, handle: JobHandle) -> None:
        """Remove what the job left in the store, and Ray's entry.

        :raises ComputeError: if the job has not ended.
        """
        if not valid_key(handle.key) or await self._do(self._records(handle.key).submitted) is None:
            return
        if not (await self._status(handle.key)).state.is_terminal:
            raise ComputeError(f"The job {handle.key} has not ended, so its records stay. Cancel it first.")
        await self._do(self._records(handle.key).remove)
        with suppress(ComputeError):
            await self.client.delete(await self._name(handle.key))
