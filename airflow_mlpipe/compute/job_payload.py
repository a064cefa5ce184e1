"""From a job to what the launcher reads: plain values."""

from __future__ import annotations

from typing import Any

from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.environment import EnvironmentDefinition

_ENGINES = ("SLURM_", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""How the variables begin by which an engine tells a job which nodes and devices are its own."""


def launcher_spec(spec: JobSpec, python: str, *, waits: bool) -> dict[str, Any]:
    """Return the plain values that :meth:`JobFolder.stage` takes.

    :param python: the interpreter of the job's environment.
    :param waits: an engine starts the launcher when it pleases.
    """
    return {
        "command": spec.command,
        "variables": {**_activation(spec.environment, python), **spec.variables},
        "folders": [str(folder) for folder in spec.folders],
        "timeout": spec.timeout,
        "waits": waits,
        "passes": _passes(spec) if waits else [],
        "outputs": {
            item.port: item.there for item in spec.carried if item.role == "output" and (item.travels or item.remote)
        },
        "grants": [
            {"role": item.role, "place": item.there, "data": item.remote.reveal()}
            for item in spec.carried
            if item.remote
        ],
    }


def _activation(environment: EnvironmentDefinition | None, python: str) -> dict[str, str]:
    if environment is None:
        return {}
    root = python.rpartition("/")[0].rpartition("/")[0]
    return {"CONDA_PREFIX" if environment.conda else "VIRTUAL_ENV": root}


def _passes(spec: JobSpec) -> list[str]:
    """Return how the variables begin that the engine's own libraries want in the job."""
    distribution = spec.resources.distribution
    return [*_ENGINES, "RAY_"] if distribution and distribution.kind == "ray" else list(_ENGINES)
