"""The hardware that a step asks for, and the processes that its command is started as."""

from typing import Annotated, Literal

from msgspec import Meta

from airflow_mlpipe.frozen import Strict

DistributionType = Literal["mpi", "pytorch", "tensorflow", "ray"]


class Machines(Strict, frozen=True, kw_only=True):
    """What a step asks for. Where it runs does not count for reuse, so none of this does.

    :param instance_count: machines (nodes).
    :param cpus: on each of them; ``None`` for the target's default.
    :param memory: bytes on each of them; ``None`` for the target's default.
    :param gpus: on each of them.
    """

    instance_count: Annotated[int, Meta(ge=1)] = 1
    cpus: Annotated[int, Meta(ge=1)] | None = None
    memory: Annotated[int, Meta(ge=1)] | None = None
    gpus: Annotated[int, Meta(ge=0)] = 0


class ProcessGroup(Strict, frozen=True, kw_only=True):
    """One command, started as several processes that know of each other; Azure ML's ``distribution``.

    It counts for reuse: a training over four processes is another one than over two.

    :param type: how they find each other.
    :param process_count_per_instance: processes on each machine.
    """

    type: DistributionType
    process_count_per_instance: Annotated[int, Meta(ge=1)] = 1
