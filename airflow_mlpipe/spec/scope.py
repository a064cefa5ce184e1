"""What the jobs of one pipeline may refer to, and under which names they become steps.

A pipeline inside another one has a scope of its own: its inputs are bound to values of the outer pipeline, and its jobs
become steps with qualified names, ``group.job``. :meth:`Scope.step` is the one place where such a name is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from airflow_mlpipe.spec.expressions import OutputRef, ParameterRef, Part, parse
from airflow_mlpipe.spec.paths import Source
from airflow_mlpipe.spec.ports import Port
from airflow_mlpipe.spec.step import InputData, InputValue, OutputData


@dataclass(frozen=True)
class Produced:
    """An output of a job, and the step that writes it.

    :param step: qualified name of the step.
    """

    step: str
    port: str
    data: OutputData

    @property
    def ref(self) -> OutputRef:
        """The reference that a step holds."""
        return OutputRef(self.step, self.port)


Outputs = dict[str, Produced]


@dataclass(frozen=True)
class Scope:
    """What may be referred to. A value of ``None`` is there but wrong: nothing more is said about it.

    :param inputs: the pipeline's declared inputs.
    :param jobs: each job's outputs.
    :param many: jobs that run once for each item of a loop, and the loop; nobody can read the outputs of such a one.
    :param group: qualified name of the job that this pipeline is inside another one; empty at the top.
    :param bound: the values of the inputs, in the words of the outermost pipeline; ``None`` at the top, where a run
        brings them.
    """

    source: Source
    inputs: dict[str, Port | None]
    jobs: Mapping[str, Outputs | None] = field(default_factory=dict)
    many: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    bound: Mapping[str, InputValue] | None = None

    def step(self, job: str) -> str:
        """Return the name of the step that a job becomes."""
        return qualified(self.group, job)

    def with_jobs(self, jobs: Mapping[str, Outputs | None], group: str | None = None) -> Scope:
        """Return this scope with other jobs, and in another group."""
        return replace(self, jobs=jobs, group=self.group if group is None else group)

    def value(self, ref: ParameterRef) -> InputValue:
        """Return what a reference to an input stands for: itself at the top, else the bound value."""
        return str(ref) if self.bound is None else self.bound.get(ref.name)

    def text(self, part: Part) -> str:
        """Return what a part of a longer text stands for, as text."""
        value = self.value(part) if isinstance(part, ParameterRef) else str(part)
        if value is None or isinstance(value, InputData):
            return ""
        return str(value).lower() if isinstance(value, bool) else str(value)


def qualified(group: str, job: str) -> str:
    """Return the name of a job inside a group: what Airflow calls a task inside a task group."""
    return f"{group}.{job}" if group else job


def referred_step(value: InputValue) -> str | None:
    """Return the step whose output an input reads, ``None`` if it reads none."""
    if not isinstance(value, InputData) or "${{" not in value.path:
        return None
    parts = parse(value.path)
    ref = parts[0] if len(parts) == 1 else None
    return ref.job if isinstance(ref, OutputRef) else None
