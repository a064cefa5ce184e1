"""What a step asks for, and whether it can be given: by its target's hardware, or by anything here at all."""

from __future__ import annotations

from airflow_mlpipe.compute.base import ComputeTarget
from airflow_mlpipe.compute.job_parts import Distribution, JobResources
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.frozen import said
from airflow_mlpipe.spec.later_kinds import NOT_YET
from airflow_mlpipe.spec.machines import Machines
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.workspace import Workspace


def job_resources(step: Step) -> JobResources:
    """Return what a step asks for, as a target understands it."""
    asked = step.resources or Machines()
    group = step.distribution
    distribution = None if group is None else Distribution(group.type, group.process_count_per_instance)
    return JobResources(asked.cpus, asked.memory, asked.gpus, asked.instance_count, distribution)


def refuse_what_cannot_be_given(workspace: Workspace, step: Step) -> None:
    """Refuse a step that nothing can run, or that asks for more than its target can give.

    A step that asks for nothing opens no target.

    :raises ConfigError: naming what cannot be given, what can, and what to do.
    """
    if step.definition is not None:
        raise ConfigError(
            f"Step {step.name} is a job of type '{step.type}', which cannot be run yet: "
            f"{NOT_YET[step.type]}. Nothing of this run was done for it."
        )
    if step.type == "data_transfer" or (step.resources is None and step.distribution is None):
        return
    target = workspace.compute(step.compute)
    missing = _missing(step, target)
    if missing:
        can = target.capabilities
        raise ConfigError(
            f"Step {step.name} asks for {', '.join(missing)}, which the compute target {target.name!r} cannot give. "
            f"It gives: {', '.join(sorted(can.gives)) or 'no choice of hardware'}; "
            f"distribution: {', '.join(sorted(can.distributions)) or 'none'}. "
            "Choose another target with 'compute' (mlpipe compute list), or leave it out."
        )


def _missing(step: Step, target: ComputeTarget) -> list[str]:
    asked = said(step.resources) if step.resources is not None else {}
    missing = [f"{name} {value}" for name, value in asked.items() if name not in target.capabilities.gives]
    if step.distribution is not None and step.distribution.type not in target.capabilities.distributions:
        missing.append(f"distribution {step.distribution.type}")
    return missing
