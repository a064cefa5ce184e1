"""The duty of a compute target: create-or-attach, look, cancel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.job_parts import Capabilities, Carried, JobResources, Role
from airflow_mlpipe.environment import EnvironmentDefinition, installed_packages
from airflow_mlpipe.snapshot import Snapshot


class JobState(str, Enum):
    """The states of a job on any target; a foreign word that nobody knows counts as ``RUNNING``."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """The target does not know the job, or its process is gone without an exit record. Not resubmitted in silence."""

    @property
    def is_terminal(self) -> bool:
        """Whether the job will never change again."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class JobSpec:
    """Everything a target must know to run a step.

    :param command: shell text. It holds no user value: values come in through ``variables`` and are named
        ``"${NAME}"``.
    :param variables: the environment variables of the job, on top of the target's own short allow-list.
    :param code: the source folder to run in; ``None`` for an empty working folder.
    :param files: further small files of ours to lay beside the job, name to text; the job finds them in
        ``$MLPIPE_JOB_DIR``.
    :param environment: the software of the step, ``None`` for the target's default interpreter.
    :param folders: absolute paths of folders to create before the command starts (outputs).
    :param timeout: seconds after which the job is ended and counts as failed; ``None`` for no limit.
    :param resources: the hardware it asks for.
    :param carried: its data; the target copies what the job could not see otherwise.
    """

    command: str
    variables: Mapping[str, str] = field(default_factory=dict)
    code: Snapshot | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    environment: EnvironmentDefinition | None = None
    folders: Sequence[str] = ()
    timeout: float | None = None
    resources: JobResources = field(default_factory=JobResources)
    carried: Sequence[Carried] = ()


@dataclass(frozen=True)
class JobHandle:
    """A job that was submitted; JSON-able, it crosses processes, triggers and records.

    :param target: name of the compute target.
    :param key: run key, at most 52 characters ``[a-z0-9-]``, unique for one attempt of one step of one run.
    :param external_id: the target's own id of the job.
    """

    target: str
    key: str
    external_id: str

    def to_json(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> JobHandle:
        """Read :meth:`to_json` back."""
        return cls(value["target"], value["key"], value["external_id"])


@dataclass(frozen=True)
class JobStatus:
    """What is known of a job now.

    :param state: one of the six states.
    :param message: a sentence for the user, empty if there is nothing to say.
    :param exit_code: of the command, once known.
    :param raw: the target's own word.
    :param metrics: what the script wrote to ``$MLPIPE_METRICS_FILE``, ``[{"name", "value", "step"}]``, once ended.
    :param seconds: run time of the command, once ended.
    :param log_end: cursor of the end of the log where the target knows it without a further question; a reader who is
        there already need not ask :meth:`ComputeTarget.logs`.
    """

    state: JobState
    message: str = ""
    exit_code: int | None = None
    raw: str = ""
    metrics: Sequence[Mapping[str, Any]] = ()
    seconds: float | None = None
    log_end: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class LogChunk:
    """A piece of a job's output.

    :param data: raw bytes, may end inside a character.
    :param cursor: where to go on.
    :param eof: no more will come.
    """

    data: bytes
    cursor: str
    eof: bool


class ComputeTarget(Protocol):
    """Runs jobs. All methods may be called from any process that has the handle, and never block the event loop.

    Built by its class's ``from_config(name, config, folder)``; see :class:`LocalTarget`.

    :ivar name: the name under which the workspace knows it.
    :ivar capabilities: what it can do.
    """

    name: str
    capabilities: Capabilities = Capabilities()

    @property
    def endpoint(self) -> str:
        """Whom it talks to. Where it is equal, one :meth:`status` call may ask for the jobs of several targets."""
        return f"target:{self.name}"

    def seen_as(self, key: str, role: Role, port: str, here: Path) -> str:  # noqa: ARG002 - for targets that copy
        """Return the path under which the job sees its data.

        :param here: where the data lies on the machine that submits.
        """
        return str(here)

    def use_store(self, store: Callable[[], object]) -> None:
        """Take note of the workspace's default datastore, for targets whose jobs report to it.

        :param store: opens it.
        """
        del store  # the jobs of most targets need none

    def software(self) -> Mapping[str, str]:
        """Return what a step without an environment finds installed: package to version, and ``python``.

        It counts for the identity of such steps. A target that cannot tell says what is installed here. Blocks, at its
        first call in a process; not for an event loop.

        :raises TransientComputeError: if the target cannot be asked now.
        """
        return installed_packages()

    @abstractmethod
    async def submit(self, spec: JobSpec, key: str) -> JobHandle:
        """Start the job, or attach to the one that already has this key: at most one job exists per key.

        :raises SubmitRejectedError: asking again will not help.
        :raises TransientComputeError: asking again with the same key may help, and is safe.
        """

    @abstractmethod
    async def find(self, key: str) -> JobHandle | None:
        """Return the job with this key, whoever submitted it, or ``None``."""

    @abstractmethod
    async def status(self, handles: Sequence[JobHandle]) -> list[JobStatus]:
        """Return the status of each job, in the order asked. A terminal state never changes again."""

    async def wait(self, handle: JobHandle, seconds: float) -> None:  # noqa: ARG002 - for targets that see their jobs
        """Let some seconds pass, fewer if the job is seen to end. :meth:`status` says whether it has."""
        await loop.sleep(seconds)

    @abstractmethod
    async def logs(self, handle: JobHandle, cursor: str | None = None, limit: int = 65536) -> LogChunk:
        """Return output from the cursor on; ``None`` starts at the beginning. Unknown jobs have an empty, ended log."""

    async def collect(self, handle: JobHandle, carried: Sequence[Carried]) -> None:
        """Bring the outputs of a job that ended well to where they belong here, verified; what is here already stays.

        :raises DataError: if the copy is not what the job left.
        :raises TransientComputeError: asking again may help, and goes on where this ended.
        """

    async def left_behind(self, handle: JobHandle) -> Mapping[str, Mapping[str, Sequence[int | str]]]:  # noqa: ARG002
        """Return what a job that ended well says of the outputs that its machine has sent by itself.

        :returns: port to relative path (empty for a single file) to size and SHA-256.
        """
        return {}

    @abstractmethod
    async def cancel(self, handle: JobHandle, grace: float = 10.0) -> None:
        """Ask for the end of the job and of all its processes; TERM first, KILL after ``grace`` seconds. Idempotent;
        silent for jobs that ended or are unknown. :meth:`status` confirms.
        """

    @abstractmethod
    async def forget(self, handle: JobHandle) -> None:
        """Drop what the target keeps of a job that ended. Silent if there is nothing."""

    def log_location(self, handle: JobHandle) -> str:
        """Return where a person finds the full log."""
        return f"compute target {self.name}, job {handle.external_id}"
