"""Jobs that Slurm starts. From then on the job's folder says what becomes of them: Slurm forgets jobs that have ended.

Slurm is asked by name, which is the run key, and never by number: numbers begin anew when a cluster is set up anew.
It is asked only while no launcher has claimed the job.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import JobHandle, JobSpec, JobState, JobStatus
from airflow_mlpipe.compute.far_side.job_folder import ExitRecord
from airflow_mlpipe.compute.folder_target import FolderTarget, as_status
from airflow_mlpipe.compute.place import Finished, Place
from airflow_mlpipe.compute.slurm.request import ENGINE_LOG, batch_script, check_resources, sbatch_words, spread
from airflow_mlpipe.compute.slurm.settings import SlurmSettings
from airflow_mlpipe.compute.slurm.words import LISTING, Opinion, may_pass, opinions, saying
from airflow_mlpipe.errors import SubmitRejectedError, TransientComputeError

_NOT_SEEN_YET = 60.0
"""Seconds in which Slurm may not know a job that it was given, and in which a claim may not be visible here yet."""
_OTHERS_PATIENCE = 20.0
"""Seconds in which another process that submits the same job must have done so."""
_CLAIM = "slurm-submit"
_GIVEN_UP = "+0.25"
"""Minutes after which whoever made the folder, and did not call sbatch, counts as dead."""
_NO_COMMAND = 127
_PATIENCE = "25"
"""Seconds for one of Slurm's commands; they wait for a controller that is away for more than a minute."""


class SlurmJobs(FolderTarget):
    """The engine: submits, asks and cancels through Slurm's commands on the login node.

    :param place: the login node and a folder that all nodes see.
    :param settings: how jobs are given to the cluster.
    """

    waits = True

    def __init__(self, name: str, place: Place, settings: SlurmSettings) -> None:
        super().__init__(name, place)
        self.slurm = settings
        self._doubts: dict[str, float] = {}

    async def submit(self, spec: JobSpec, key: str) -> JobHandle:
        """Start the job, or attach to the one that has this key. Its environment is built first if it must be.

        :raises SubmitRejectedError: if the job asks for what a Slurm job cannot have, or Slurm refuses it.
        :raises EnvironmentBuildError: if the step's software cannot be installed.
        :raises TransientComputeError: if the login node or Slurm does not answer, or the folder cannot be written.
        """
        check_resources(self.name, spec.resources)
        return await super().submit(spread(spec, self.slurm.mpi), key)

    async def _launch(self, spec: JobSpec, key: str) -> None:
        if not await self._is_known(key) and await self._may_submit(key):
            await self._sbatch(spec, key)

    async def _may_submit(self, key: str) -> bool:
        """Whether it is for us to submit; else somebody else has done it.

        sbatch takes the same job twice. So whoever makes a folder in the job's folder submits it; when nothing came of
        that for a while, because that process died, the next number is up. Should both have reached Slurm after all,
        the second launcher finds the job claimed.
        """
        deadline = time.monotonic() + _OTHERS_PATIENCE
        number = 0
        while time.monotonic() < deadline:
            place = f"{self.place.folder(key)}/{_CLAIM}-{number}"
            if (await self._run("mkdir", place)).code == 0:
                return True
            if await self._is_known(key):
                return False
            if (await self._run("find", place, "-maxdepth", "0", "-mmin", _GIVEN_UP)).output:
                number += 1
            else:
                await loop.sleep(0.3)
        raise TransientComputeError(f"Another process is giving the job {key} to Slurm just now. Try again.")

    async def _sbatch(self, spec: JobSpec, key: str) -> None:
        folder = self.place.folder(key)
        script = batch_script([*await self.place.program(), "launch", "--stay", folder])
        done = await self._slurm(sbatch_words(self.slurm, key, folder, spec), script)
        if done.code == 0 or await self._is_known(key):
            return
        said = saying(done)
        if done.code == _NO_COMMAND:
            said = f"there is no 'sbatch' on the login node ({said})"
        elif may_pass(said):
            await self._run("rmdir", f"{folder}/{_CLAIM}-0")
            raise TransientComputeError(f"compute {self.name}: Slurm takes no job now: {said}.")
        if await self.place.give_up(key, "error", said):
            await self.place.remove(key)
        raise SubmitRejectedError(f"compute {self.name}: Slurm refuses the job: {said}. Change what the step asks for.")

    async def find(self, key: str) -> JobHandle | None:
        """Return the job with this key, ``None`` also for one that was staged but never reached Slurm: submit it again.

        :raises TransientComputeError: if only Slurm can tell and does not answer.
        """
        (settled,) = await self.place.settle([key])
        if settled.ending == "queued":
            return self._handle(key) if await self._is_known(key) else None
        return await super().find(key)

    async def status(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """Return the status of each job; Slurm is asked once for all that have not begun.

        :raises TransientComputeError: if Slurm does not answer and nothing is known without it.
        """
        settled = await self.place.settle([handle.key for handle in handles]) if handles else []
        waiting = [handle.key for handle, each in zip(handles, settled, strict=True) if each.ending == "queued"]
        if not waiting:
            return [as_status(each) for each in settled]
        try:
            said = await self._ask(waiting)
        except TransientComputeError as error:
            if len(waiting) == len(handles):
                raise
            known = {key: JobStatus(JobState.QUEUED, str(error), raw="no answer") for key in waiting}
        else:
            known = {key: await self._waiting(key, said.get(key)) for key in dict.fromkeys(waiting)}
        return [known.get(handle.key) or as_status(each) for handle, each in zip(handles, settled, strict=True)]

    async def _waiting(self, key: str, said: Opinion | None) -> JobStatus:
        """Return the status of a job that no launcher has claimed."""
        if said is not None and not said.ended:
            self._doubts.pop(key, None)
            message = f"Slurm: {said.reason}" if said.reason else ""
            return JobStatus(JobState.QUEUED, message, raw=said.word)
        cancelled = said is not None and said.word.startswith("CANCELLED")
        if not cancelled and time.monotonic() - self._doubts.setdefault(key, time.monotonic()) < _NOT_SEEN_YET:
            return JobStatus(JobState.QUEUED, raw=said.word if said else "unknown")
        # Whether a launcher was faster is decided by who links the claim.
        await self.place.give_up(key, *_ending(self.place, key, said))
        self._doubts.pop(key, None)
        return as_status((await self.place.settle([key]))[0])

    async def cancel(self, handle: JobHandle, grace: float = 10.0) -> None:
        """End the job and all its processes; returns when they are gone, or a few seconds after the grace.

        A job that has not begun is cancelled by taking its claim, and then taken out of Slurm's queue. One that runs is
        ended by its launcher, which leaves a record; Slurm ends what the launcher does not.

        :raises TransientComputeError: if the login node cannot be reached.
        """
        if not await self.place.ask_to_end(handle.key, grace):
            return
        (settled,) = await self.place.settle([handle.key])
        if isinstance(settled.ending, ExitRecord):
            await self._slurm(["scancel", "--me", f"--name={handle.key}"])
        elif not await self._gone(handle.key, grace + self.cancel_patience):
            await self._slurm(["scancel", "--me", "--full", "--signal=KILL", f"--name={handle.key}"])
            await self._slurm(["scancel", "--me", f"--name={handle.key}"])
            await self.place.force_end(handle.key)
            await self._gone(handle.key, self.cancel_patience)

    async def _is_known(self, key: str) -> bool:
        """Whether Slurm has the job, or has started it. One that it refused stays in its lists as failed."""
        said = (await self._ask([key])).get(key)
        return (said is not None and not said.ended) or await self.place.claimed(key)

    async def _ask(self, keys: Sequence[str]) -> dict[str, Opinion]:
        """Return what Slurm thinks of jobs, by name.

        :raises TransientComputeError: if it does not answer.
        """
        done = await self._slurm([*LISTING, f"--name={','.join(keys)}"])
        if done.code == _NO_COMMAND:
            raise SubmitRejectedError(f"compute {self.name}: the login node has no 'squeue'. Install Slurm there.")
        if done.code != 0:
            raise TransientComputeError(f"compute {self.name}: Slurm does not answer: {saying(done)}.")
        return opinions(done.output)

    async def _slurm(self, words: Sequence[str], given: bytes = b"") -> Finished:
        conf = [f"SLURM_CONF={self.slurm.conf}"] if self.slurm.conf else []
        return await self._run("env", *conf, "timeout", _PATIENCE, *words, given=given)

    async def _run(self, program: str, *words: str, given: bytes = b"") -> Finished:
        return await self.place.run([f"/usr/bin/{program}", *words], given)


def _ending(place: Place, key: str, said: Opinion | None) -> tuple[str, str]:
    """Return why a job that nobody claimed has ended, as reason and message."""
    if said is None:
        return (
            "lost",
            "Slurm does not know the job, and it never began. Clear the step to run it.",
        )
    if said.word.startswith("CANCELLED"):
        return "cancelled", "The job was cancelled in Slurm before it began."
    why = f" ({said.reason})" if said.reason else ""
    log = f"{place.folder(key)}/{ENGINE_LOG}"
    return "error", f"Slurm says {said.word}{why}, and the job never began. What Slurm has to say of it: {log}."
