"""The hardware that a step asks for, and the processes that its command is started as."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DistributionType = Literal["mpi", "pytorch", "tensorflow", "ray"]


class Machines(BaseModel):
    """What a step asks for. Where it runs does not count for reuse, so none of this does.

    :param instance_count: machines (nodes).
    :param cpus: on each of them; ``None`` for the target's default.
    :param memory: bytes on each of them; ``None`` for the target's default.
    :param gpus: on each of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    instance_count: int = Field(1, ge=1)
    cpus: int | None = Field(None, ge=1)
    memory: int | None = Field(None, ge=1)
    gpus: int = Field(0, ge=0)


class ProcessGroup(BaseModel):
    """One command, started as several processes that know of each other; Azure ML's ``distribution``.

    It counts for reuse: a training over four processes is another one than over two.

    :param type: how they find each other.
    :param process_count_per_instance: processes on each machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    type: DistributionType
    process_count_per_instance: int = Field(1, ge=1)
