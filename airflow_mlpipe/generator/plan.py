"""From a pipeline to the literals of its DAG file: what to write, and nothing of how it looks."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_mlpipe import __version__
from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.generator.faults import fault
from airflow_mlpipe.generator.identity import spec_hash
from airflow_mlpipe.generator.literals import Call
from airflow_mlpipe.generator.names import variable_names
from airflow_mlpipe.generator.parameters import run_params
from airflow_mlpipe.generator.paths import Relocation
from airflow_mlpipe.generator.picture import picture
from airflow_mlpipe.generator.roles import Roles, roles_of
from airflow_mlpipe.generator.scheduling import (
    dag_arguments,
    dag_id_of,
    plan_arguments,
    run_limits,
    step_task_arguments,
)
from airflow_mlpipe.generator.steps import OPERATORS, step_arguments
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.scope import referred_step
from airflow_mlpipe.spec.step import Step

_PLAN_OPERATOR = "PlanOperator"


@dataclass(frozen=True)
class Task:
    """One operator call.

    :param variable: the Python name; ``arguments["task_id"]`` is the user's.
    :param arguments: keyword arguments, literals or :class:`Call`.
    :param comment: where the step comes from, ``pipeline.yml:12``; empty for our own plan task.
    :param groups: the task groups that it lies in, the outermost first.
    :param opens: those of them that begin with this task.
    """

    variable: str
    operator: str
    arguments: Mapping[str, Any]
    comment: str = ""
    groups: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()

    @property
    def indent(self) -> int:
        """Columns before the task's statement."""
        return 4 * (len(self.groups) + 1)

    @property
    def headings(self) -> list[tuple[str, int]]:
        """Each group that begins here and the columns before its statement."""
        first = len(self.groups) - len(self.opens) + 1
        return [(group, 4 * (first + depth)) for depth, group in enumerate(self.opens)]


@dataclass(frozen=True)
class DagPlan:
    """Everything that a DAG file says; what templates see as ``dag``.

    :param spec: what is planned; templates have no business with it.
    :param title: one paragraph, the file's first docstring line.
    :param source: the spec, relative to the folder of the DAG file.
    :param command: the shell command that writes the file anew, run in its folder.
    :param arguments: of ``DAG(...)``, without the id, the limits, the docs and the params.
    :param run_limits: ``catchup`` and ``max_active_runs`` as far as the spec says them.
    :param tasks: the plan task, then every step in topological order.
    :param edges: (variables before, variables after), one pair a line.
    :param reasons: why, for each pair: which data flows, or that only the order matters; may be empty.
    :param roles: what the pipeline is for.
    :param environment: of mlpipe.toml, for which the file is written; empty for none.
    :param picture: the graph in lines of text; empty for a single step, and for more than fit a screen.
    """

    spec: PipelineSpec
    dag_id: str
    title: str
    source: str
    command: str
    spec_hash: str
    template: str
    arguments: Mapping[str, Any]
    run_limits: Mapping[str, Any]
    params: Mapping[str, Call]
    tasks: tuple[Task, ...]
    edges: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    reasons: tuple[str, ...] = ()
    roles: Roles = field(default_factory=Roles)
    version: str = field(default=__version__)
    environment: str = ""
    picture: tuple[str, ...] = ()

    @property
    def airflow_names(self) -> list[str]:
        """What the file imports of ``airflow.sdk``, in the order of isort."""
        assets = ["Asset"] if self.uses("Asset") else []
        return ["DAG", *assets, "Param", *(["TaskGroup"] if any(task.groups for task in self.tasks) else [])]

    @property
    def operators(self) -> list[str]:
        """What the file imports of our operators: the classes in use, and ``callback`` where there is one; sorted."""
        return sorted({task.operator for task in self.tasks} | ({"callback"} if self.uses("callback") else set()))

    def uses(self, function: str) -> bool:
        """Whether an argument of the DAG or of a task is a call of this constructor."""
        places = [self.arguments, *(task.arguments for task in self.tasks)]
        values = [value for place in places for value in place.values()]
        flat = [part for value in values for part in (value if isinstance(value, list) else [value])]
        return any(type(value) is Call and value.function == function for value in flat)

    def limits(self, **defaults: Any) -> dict[str, Any]:
        """Return :attr:`run_limits` on top of a template's own defaults."""
        return {**defaults, **self.run_limits}

    def refuse(self, reason: str) -> None:
        """Let a template say that it does not fit this pipeline.

        :raises SpecError: always.
        """
        raise SpecError((fault(self.spec, "airflow.template", "MLP154", f"{reason}."),))


def plan_dag(spec: PipelineSpec, folder: Path, environment: str = "") -> DagPlan:
    """Plan the DAG file of a pipeline.

    :param folder: where the file will lie; paths of the pipeline are written relative to it.
    :param environment: the one of mlpipe.toml that changed the pipeline.
    """
    move = Relocation(spec.folder, folder)
    source = Relocation(spec.source.parent, folder).relocate(spec.source.name)
    variables = variable_names([step.name for step in spec.steps], taken=(_PLAN_OPERATOR, *OPERATORS.values()))
    return DagPlan(
        spec=spec,
        dag_id=dag_id_of(spec),
        title=_title(spec),
        source=source,
        command=f"mlpipe generate {shlex.quote(source)} -o ." + (f" --env {environment}" if environment else ""),
        spec_hash=spec_hash(spec),
        template=spec.airflow.template,
        arguments=dag_arguments(spec),
        run_limits=run_limits(spec),
        params=run_params(spec),
        tasks=(_plan_task(spec), *_tasks(spec, variables, move)),
        edges=_edges(spec, variables),
        reasons=tuple(_reasons(spec)),
        roles=roles_of(spec),
        environment=environment,
        picture=tuple(picture(spec.steps)),
    )


def _title(spec: PipelineSpec) -> str:
    name = spec.display_name or spec.name
    return f"{name}: {spec.description}" if spec.description else f"{name}."


def _plan_task(spec: PipelineSpec) -> Task:
    task_id = "mlpipe_plan" if any(step.name == "plan" for step in spec.steps) else "plan"
    return Task("plan", _PLAN_OPERATOR, {"task_id": task_id, **plan_arguments(spec)})


def _tasks(spec: PipelineSpec, variables: Mapping[str, str], move: Relocation) -> Iterator[Task]:
    """Yield the steps' tasks; those of a group follow each other, because jobs and not steps are put in order."""
    before: tuple[str, ...] = ()
    for step in spec.steps:
        groups = spec.groups(step.name)
        shared = next((n for n, pair in enumerate(zip(groups, before, strict=False)) if pair[0] != pair[1]), None)
        shared = min(len(groups), len(before)) if shared is None else shared
        yield _task(spec, step, variables[step.name], move, (groups, groups[shared:]))
        before = groups


def _task(
    spec: PipelineSpec, step: Step, variable: str, move: Relocation, groups: tuple[tuple[str, ...], tuple[str, ...]]
) -> Task:
    inside = ".".join(groups[0])
    arguments = {
        "task_id": step.name.removeprefix(f"{inside}.") if inside else step.name,
        **step_arguments(step, move),
        **step_task_arguments(spec, step),
    }
    file = spec.files.get(step.name, spec.source.name)
    return Task(variable, OPERATORS[step.type], arguments, f"{file}:{spec.lines[step.name]}", *groups)


def _edges(spec: PipelineSpec, variables: Mapping[str, str]) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """The plan leads to every step that waits for nobody; then one line for each step that waits."""
    first = tuple(variables[step.name] for step in spec.steps if not step.upstream)
    waiting = [step for step in spec.steps if step.upstream]
    after = [(tuple(variables[name] for name in step.upstream), (variables[step.name],)) for step in waiting]
    return ((("plan",), first), *after)


def _reasons(spec: PipelineSpec) -> Iterator[str]:
    """Yield for each edge why it is there: ``train: features of prepare, after report``; nothing for the plan's."""
    branches = {step.name for step in spec.steps if step.branch is not None}
    yield ""
    for step in spec.steps:
        found = {port: referred_step(value) for port, value in step.inputs.items()}
        words = [f"{port} of {name}" for port, name in found.items() if name is not None]
        order = [name for name in step.upstream if name not in found.values()]
        words += [f"{'decided by' if name in branches else 'after'} {name}" for name in order]
        if step.upstream:
            yield f"{step.name}: {', '.join(words)}"
