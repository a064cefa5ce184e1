"""What else belongs to a job: its data, the hardware it asks for, and what a target can give."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from airflow_mlpipe.content.remote import RemoteData

Role = Literal["input", "output"]


@dataclass(frozen=True)
class Carried:
    """One data input or output of a job.

    :param here: where it lies, or shall lie, on the machine that submits.
    :param there: the path under which the job sees it, from :meth:`ComputeTarget.seen_as`; equal to ``here`` where
        files are shared, and then there is nothing to carry.
    :param is_file: it is a file, not a folder.
    :param remote: how the job's machine gets at it by itself; ``None`` where it cannot.
    """

    port: str
    role: Role
    here: Path
    there: str
    is_file: bool
    remote: RemoteData | None = None

    @property
    def travels(self) -> bool:
        """Whether the worker has to copy it."""
        return self.remote is None and self.there != str(self.here)


@dataclass(frozen=True)
class Distribution:
    """How one job is started as several processes.

    :param kind: ``mpi``, ``pytorch``, ``tensorflow`` or ``ray``.
    :param processes: on each node.
    """

    kind: str
    processes: int = 1


@dataclass(frozen=True)
class JobResources:
    """The hardware that a job asks for; a target that has no such thing to give refuses.

    :param cpus: on each node; ``None`` for the target's default.
    :param memory: bytes on each node; ``None`` for the target's default.
    :param gpus: on each node.
    :param instance_count: nodes.
    """

    cpus: int | None = None
    memory: int | None = None
    gpus: int = 0
    instance_count: int = 1
    distribution: Distribution | None = None


@dataclass(frozen=True)
class Capabilities:
    """What a target can do.

    :param shares_files: jobs see the files of whoever submits them, under the same paths.
    :param images: runs container images.
    :param gives: fields of :class:`JobResources` that it honours.
    :param distributions: kinds of :class:`Distribution` that it can start.
    :param retention: seconds for which the engine knows an ended job; ``None`` for as long as nobody forgets it.
    :param moves_data: a job's machine fetches and sends by itself what a store lets it.
    :param cancel_is_confirmed: after a cancel, ``CANCELLED`` means that nothing of the job runs any more.
    """

    shares_files: bool = True
    images: bool = False
    gives: frozenset[str] = field(default_factory=frozenset)
    distributions: frozenset[str] = field(default_factory=frozenset)
    retention: float | None = None
    moves_data: bool = False
    cancel_is_confirmed: bool = True
