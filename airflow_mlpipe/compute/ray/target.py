"""Jobs on a Ray cluster that shares a folder with this machine.

Ray starts the launcher on one of its nodes, and from then on the job's folder says what becomes of it: Ray forgets its
jobs when its head restarts. Ray is asked only while no launcher has claimed the job.
"""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobSpec, JobState, JobStatus
from airflow_mlpipe.compute.environments import EnvironmentCache
from airflow_mlpipe.compute.far_side import records
from airflow_mlpipe.compute.far_side.job_folder import ExitRecord
from airflow_mlpipe.compute.folder_target import FolderTarget, as_status
from airflow_mlpipe.compute.job_parts import Capabilities
from airflow_mlpipe.compute.local_place import LocalPlace
from airflow_mlpipe.compute.ray.client import RayClient
from airflow_mlpipe.compute.ray.request import check_resources, job_request
from airflow_mlpipe.compute.ray.settings import RaySettings, read_ray_settings
from airflow_mlpipe.compute.ray.store_target import RayStoreTarget
from airflow_mlpipe.compute.ray.words import opinion
from airflow_mlpipe.environment import installed_packages
from airflow_mlpipe.errors import ComputeError, TransientComputeError

_NOT_SEEN_YET = 60.0
"""Seconds in which Ray may not know a job that it was just given, and in which a claim may not be visible yet."""
_DELETE_PATIENCE = 5.0


class RayTarget(FolderTarget):
    """Runs each job as one Ray job.

    The submission id is made of the run key and the working folder: two workspaces that share a cluster may well have
    the same run of the same pipeline, and must not take up each other's jobs.

    :param settings: where the cluster is; its ``workdir`` is seen by this machine and by every node.
    """

    waits = True

    def __init__(self, settings: RaySettings, workdir: Path) -> None:
        environments = EnvironmentCache(settings.environments or workdir / "environments")
        super().__init__(settings.name, LocalPlace(workdir, Path(settings.python), environments))
        self.settings = settings
        self.client = RayClient(settings)
        self._mark = hashlib.sha256(str(self.place.folder("")).encode()).hexdigest()[:10]
        self.capabilities = Capabilities(
            gives=frozenset({"cpus", "memory", "gpus", "instance_count"}),
            distributions=frozenset({"ray"}),
            moves_data=settings.moves_data,
        )

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> ComputeTarget:
        """Build it from ``{"type": "ray", "address": ..., "workdir"?: ..., "token"?: ..., "python"?: ...}``.

        :param folder: relative paths start from it.
        :returns: without a ``workdir`` a target whose jobs report to the default datastore.
        :raises ConfigError: if a key is unknown or a value is wrong.
        """
        settings = read_ray_settings(name, config, folder)
        return RayStoreTarget(settings) if settings.workdir is None else cls(settings, settings.workdir)

    @property
    def endpoint(self) -> str:
        """The cluster."""
        return f"ray:{self.settings.address}"

    def software(self) -> Mapping[str, str]:
        """Return what is installed here: only a job could tell what the nodes have."""
        return installed_packages()

    async def submit(self, spec: JobSpec, key: str) -> JobHandle:
        """Start the job, or attach to the one that has this key. Its environment is built first if it must be.

        :raises SubmitRejectedError: if the job asks for what a Ray job cannot have, or Ray does not take it.
        :raises EnvironmentBuildError: if the step's software cannot be installed.
        :raises TransientComputeError: if Ray does not answer, or the folder cannot be written.
        """
        check_resources(self.name, spec.resources)
        return await super().submit(spec, key)

    async def _launch(self, spec: JobSpec, key: str) -> None:
        _, *options = await self.place.program()
        words = [self.settings.python, *options, "launch", "--stay", self.place.folder(key)]
        body = job_request(shlex.join(words), self._id(key), spec.resources)
        await self.client.post_once(body, self._id(key))

    def _id(self, key: str) -> str:
        """Return the name under which Ray knows a job."""
        return f"{key}-{self._mark}"

    def _handle(self, key: str) -> JobHandle:
        return JobHandle(self.name, key, self._id(key))

    async def find(self, key: str) -> JobHandle | None:
        """Return the job with this key, ``None`` also for one that was staged but never reached Ray: submit it again.

        :raises TransientComputeError: if only Ray can tell and does not answer.
        """
        (settled,) = await self.place.settle([key])
        if settled.ending == "queued":
            return self._handle(key) if (await self.client.job(self._id(key))).status == 200 else None
        return await super().find(key)

    async def status(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """Return the status of each job.

        :raises TransientComputeError: if Ray does not answer and nothing is known without it.
        """
        settled = await self.place.settle([handle.key for handle in handles]) if handles else []
        waiting = [handle.key for handle, each in zip(handles, settled, strict=True) if each.ending == "queued"]
        alone = len(waiting) == len(handles)
        asked = await asyncio.gather(*(self._waiting(key, alone) for key in waiting))
        known = dict(zip(waiting, asked, strict=True))
        return [known.get(handle.key) or as_status(each) for handle, each in zip(handles, settled, strict=True)]

    async def _waiting(self, key: str, alone: bool) -> JobStatus:
        """Return the status of a job that no launcher has claimed.

        :param alone: nothing else is known, so a Ray that does not answer is an error and no remark.
        """
        try:
            said = opinion(await self.client.job(self._id(key)))
        except TransientComputeError as error:
            if alone:
                raise
            return JobStatus(JobState.QUEUED, str(error), raw="no answer")
        if not said.state.is_terminal or (said.unknown and await loop.to_thread(self._is_new, key)):
            state = JobState.QUEUED if said.unknown else said.state
            return JobStatus(state, said.message, raw=said.raw)
        # Whether a launcher was faster is decided by who links the claim.
        await self.place.give_up(key, said.reason, self.client.clean(said.message))
        return as_status((await self.place.settle([key]))[0])

    def _is_new(self, key: str) -> bool:
        """Whether Ray may have taken the job and not know it yet."""
        try:
            return time.time() - Path(self.place.folder(key), records.SPEC).stat().st_mtime < _NOT_SEEN_YET
        except OSError:
            return False

    async def cancel(self, handle: JobHandle, grace: float = 10.0) -> None:
        """End the job and all its processes; returns when they are gone, or a few seconds after the grace.

        Ray says that it has stopped a job that waits for resources, and starts it later all the same. So a job that
        has not begun is cancelled by taking its claim: the launcher that comes late finds it taken.

        :raises TransientComputeError: if the folder cannot be reached.
        """
        if not await self.place.ask_to_end(handle.key, grace):
            return
        (settled,) = await self.place.settle([handle.key])
        if isinstance(settled.ending, ExitRecord):
            await self._stop(handle, grace)
        elif not await self._gone(handle.key, grace + self.cancel_patience):
            await self._stop(handle, grace)
            await self.place.force_end(handle.key)
            await self._gone(handle.key, self.cancel_patience)

    async def _stop(self, handle: JobHandle, grace: float) -> None:  # noqa: ARG002 - Ray has a grace of its own
        """Tell Ray, as well as it can be told: the folder has decided already."""
        with suppress(ComputeError):
            await self.client.stop(self._id(handle.key))

    async def forget(self, handle: JobHandle) -> None:
        """Remove the job's folder and Ray's entry; its key must not be used again, as Ray may fail such a job.

        :raises ComputeError: if the job has not ended.
        """
        known = await self.place.claimed(handle.key)
        await self.place.remove(handle.key)
        deadline = time.monotonic() + _DELETE_PATIENCE
        with suppress(ComputeError):
            while known and not await self.client.delete(self._id(handle.key)) and time.monotonic() < deadline:
                await loop.sleep(0.25)  # Ray's table learns a moment later that the launcher has ended
