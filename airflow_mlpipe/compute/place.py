"""Where the folders of jobs lie, and how they are reached: on this machine, or on another one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.far_side.job_folder import ExitRecord
from airflow_mlpipe.environment import EnvironmentDefinition


class Finished(NamedTuple):
    """What a command of ours gave back.

    :param code: exit code.
    """

    code: int
    output: bytes
    errors: bytes


class Settled(NamedTuple):
    """What a job's folder says.

    :param ending: how it ended; else ``queued`` or ``running``.
    :param log_size: bytes of output so far.
    """

    ending: ExitRecord | str
    log_size: int


class Place(Protocol):
    """A working folder of jobs. Every method raises TransientComputeError if the place cannot be reached or written.

    :ivar endpoint: equal for all who may ask here for each other's jobs.
    """

    endpoint: str

    @abstractmethod
    async def program(self) -> list[str]:
        """Return the words that start the far side there, ``launch --stay FOLDER`` behind them for an engine."""

    @abstractmethod
    def folder(self, key: str) -> str:
        """Return the path of a job's folder there."""

    @abstractmethod
    def log_location(self, key: str) -> str:
        """Return where a person finds a job's full log."""

    @abstractmethod
    async def interpreter(self, definition: EnvironmentDefinition) -> str:
        """Return the Python of an environment there, after building it if nobody has yet.

        :raises EnvironmentBuildError: if it cannot be built.
        """

    @abstractmethod
    def software(self) -> Mapping[str, str]:
        """Return what a step without an environment finds installed; see :meth:`ComputeTarget.software`."""

    @abstractmethod
    async def claimed(self, key: str) -> bool:
        """Whether a launcher has taken the job, or it has ended before one did."""

    @abstractmethod
    async def stage(self, spec: JobSpec, key: str, *, waits: bool = False) -> None:
        """Lay out the job's folder, whole, with its environment and data; nothing happens if it is there.

        :param waits: an engine starts the launcher when it pleases; until :meth:`give_up` the job is queued.
        """

    @abstractmethod
    async def start(self, key: str) -> None:
        """Start the launcher of a staged job as a plain process; nothing happens if the job is claimed."""

    @abstractmethod
    async def settle(self, keys: Sequence[str]) -> list[Settled]:
        """Return what is known of each job; one that died without a record gets it here."""

    async def wait(self, key: str, seconds: float) -> None:  # noqa: ARG002 - for places that see their processes
        """Let some seconds pass, fewer if the job is seen to end."""
        await loop.sleep(seconds)

    @abstractmethod
    async def give_up(self, key: str, reason: str = "lost", message: str = "") -> bool:
        """End a staged job that no launcher has claimed; one that comes later finds it taken.

        :param reason: ``lost``, ``cancelled`` or ``error``.
        :param message: for the user.
        :return: whether there was such a job; if not, what its folder says counts.
        """

    @abstractmethod
    async def read_log(self, key: str, offset: int, limit: int) -> tuple[bytes, bool]:
        """Return output from a byte on, and whether it is all there will ever be."""

    @abstractmethod
    async def ask_to_end(self, key: str, grace: float) -> bool:
        """Ask the launcher to end the job; return whether there is anything to wait for."""

    @abstractmethod
    async def force_end(self, key: str) -> None:
        """End the job without its launcher."""

    @abstractmethod
    async def remove(self, key: str) -> None:
        """Remove everything of a job that has ended.

        :raises ComputeError: if it has not.
        """

    @abstractmethod
    async def outputs(self, key: str) -> dict[str, Any]:
        """Return the digests of the outputs of an ended job."""

    @abstractmethod
    async def run(self, command: Sequence[str], given: bytes = b"") -> Finished:
        """Run a short command of ours there, words and no shell."""
