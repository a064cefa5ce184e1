"""From a job to the words of ``sbatch``, and to what its processes are started with."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import replace

from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.job_parts import JobResources
from airflow_mlpipe.compute.slurm.settings import SlurmSettings
from airflow_mlpipe.errors import SubmitRejectedError

DISTRIBUTIONS = frozenset({"mpi", "pytorch"})
ENGINE_LOG = "engine.txt"
"""Beside the job's log: what Slurm and the start of our launcher say."""

_BACKSTOP = 5
"""Minutes after our own time limit after which Slurm ends a job by its own; ours leaves a record, Slurm's does not."""
_EXPORTED = "HOME,USER,LOGNAME,PATH,LANG"
"""Variables of whoever submits that a job's node sees. Without a list it would be all of them, secrets included."""
_STEP = "mlpipe-step.sh"
_RANKS = "mlpipe-ranks.sh"
_PYTORCH = f"""\
export RANK="$SLURM_PROCID" LOCAL_RANK="$SLURM_LOCALID" NODE_RANK="$SLURM_NODEID"
export WORLD_SIZE="$SLURM_NTASKS" LOCAL_WORLD_SIZE="$((SLURM_NTASKS / SLURM_NNODES))"
exec /bin/bash "$MLPIPE_JOB_DIR/{_STEP}"
"""
_MEETING = (
    'MASTER_ADDR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)" || exit\n'
    'export MASTER_ADDR MASTER_PORT="$((29500 + SLURM_JOB_ID % 10000))"\n'
)


def check_resources(name: str, resources: JobResources) -> None:
    """Refuse what one Slurm job cannot have.

    :param name: of the target.
    :raises SubmitRejectedError: naming what was asked for and what to do.
    """
    distribution = resources.distribution
    if distribution is not None and distribution.kind not in DISTRIBUTIONS:
        raise SubmitRejectedError(
            f"compute {name}: Slurm starts no job as {distribution.kind!r}; allowed are "
            f"{', '.join(sorted(DISTRIBUTIONS))}."
        )
    if resources.instance_count > 1 and distribution is None:
        raise SubmitRejectedError(
            f"compute {name}: instance_count is {resources.instance_count}, but nothing says what the other nodes "
            "shall do. Write distribution: {type: mpi} or {type: pytorch}, or leave instance_count out."
        )


def sbatch_words(settings: SlurmSettings, key: str, folder: str, spec: JobSpec) -> list[str]:
    """Return the words that submit a job whose script comes through standard input.

    :param folder: of the job.
    """
    resources = spec.resources
    processes = resources.distribution.processes if resources.distribution else 1
    words = ["sbatch", "--parsable", f"--job-name={key}", "--comment=airflow-mlpipe", "--no-requeue", "--chdir=/"]
    words += [f"--export={_EXPORTED}", f"--output={folder.replace('%', '%%')}/{ENGINE_LOG}", "--open-mode=append"]
    words += [f"--nodes={resources.instance_count}", f"--ntasks-per-node={processes}"]
    if resources.cpus is not None:
        words.append(f"--cpus-per-task={max(1, resources.cpus // processes)}")
    if resources.memory is not None:
        words.append(f"--mem={max(1, math.ceil(resources.memory / (1 << 20)))}M")
    if resources.gpus:
        words.append(f"--gres=gpu:{f'{settings.gpu_type}:' if settings.gpu_type else ''}{resources.gpus}")
    if spec.timeout is not None:
        words.append(f"--time={math.ceil(spec.timeout / 60) + _BACKSTOP}")
    named = {"partition": settings.partition, "account": settings.account, "qos": settings.qos, **settings.options}
    return words + [f"--{name}={value}" for name, value in named.items() if value is not None]


def batch_script(launcher: Sequence[str]) -> bytes:
    """Return the script of a job: it becomes our launcher.

    :param launcher: words.
    """
    return f"#!/bin/sh\nexec {shlex.join(launcher)}\n".encode("utf-8", "surrogateescape")


def spread(spec: JobSpec, mpi: str | None) -> JobSpec:
    """Return the job whose command runs in every process of its distribution, through ``srun``."""
    distribution = spec.resources.distribution
    if distribution is None:
        return spec
    pytorch = distribution.kind == "pytorch"
    # sbatch's --export also holds for srun, which then would keep the job's own variables from its processes.
    words = ["srun", "--export=ALL", "--kill-on-bad-exit=1", *([f"--mpi={mpi}"] if mpi and not pytorch else [])]
    cpus = '--cpus-per-task="${SLURM_CPUS_PER_TASK:-1}"'
    command = f'exec {shlex.join(words)} {cpus} /bin/bash "$MLPIPE_JOB_DIR/{_RANKS if pytorch else _STEP}"'
    files = {**spec.files, _STEP: spec.command, **({_RANKS: _PYTORCH} if pytorch else {})}
    return replace(spec, command=_MEETING + command if pytorch else command, files=files)
