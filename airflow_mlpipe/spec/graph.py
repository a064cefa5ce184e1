"""From the jobs of a pipeline, and of those inside it, to steps in the order in which they can run.

Data orders steps: one that reads an output waits for the very step that writes it, across all boundaries. What is
ordered without data (``run_after``) holds for whole jobs: the first steps of one wait for the last ones of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from airflow_mlpipe.spec.bindings import InputBinder
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import JobAirflowKeys, Settings
from airflow_mlpipe.spec.job_inputs import JobInputs
from airflow_mlpipe.spec.jobs import Draft
from airflow_mlpipe.spec.lowering import Defaults, Lowered, StepLowerer
from airflow_mlpipe.spec.nested_documents import PipelineComponent, PipelineJob
from airflow_mlpipe.spec.ordering import cycle, ordered
from airflow_mlpipe.spec.scope import Scope, referred_step
from airflow_mlpipe.spec.settings import pipeline_defaults
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.spec.structure import known


@dataclass(frozen=True)
class LoweredJob:
    """The steps that a job becomes, each after those that it depends on, and the jobs that must end first."""

    steps: list[Lowered]
    upstream: list[str]


class GraphLowerer:
    """Lowers the jobs of one pipeline and of those inside it."""

    def __init__(self, scope: Scope, defaults: Defaults, faults: Faults) -> None:
        self._scope = scope
        self._defaults = defaults
        self._faults = faults
        self._steps = StepLowerer(scope, defaults, faults)

    def lower(self, drafts: Mapping[str, Draft], place: Place) -> list[Lowered]:
        """Return all steps in topological order; some are missing if there are faults.

        :param place: of the mapping of jobs.
        """
        lowered = {name: _ranked(number, self._job(draft)) for number, (name, draft) in enumerate(drafts.items())}
        for name, draft in drafts.items():
            self._order(name, draft, lowered)
        upstream = {name: [other for other in drafts if other in job.upstream] for name, job in lowered.items()}
        loop = cycle(upstream)
        if loop:
            text = f"these jobs wait for each other: {' -> '.join(loop)}. Cut one of the references."
            self._faults.add(place / loop[0], "MLP109", text, of_key=True)
        return [step for name in ordered(upstream) for step in lowered[name].steps]

    def _job(self, draft: Draft) -> LoweredJob:
        if draft.inner is not None:
            return self._group(draft, draft.inner)
        step = self._steps.lower(draft)
        return LoweredJob([step], step.upstream) if step is not None else LoweredJob([], [])

    def _group(self, draft: Draft, inner: Mapping[str, Draft]) -> LoweredJob:
        """Lower a pipeline inside this one: its inputs become values of this pipeline."""
        component = draft.component
        if component is None:
            return LoweredJob([], [])
        binder = InputBinder(draft.name, self._scope, self._faults)
        bound, _ = JobInputs(self._scope, self._faults).read(draft, binder)
        outputs = {name: found.outputs for name, found in inner.items()}
        scope = Scope(component.source, component.inputs, outputs, self._scope.step(draft.name), bound)
        lowerer = GraphLowerer(scope, self._inherited(draft), self._faults)
        steps = lowerer.lower(inner, component.source.place / "jobs")
        return LoweredJob(grouped(draft.name, steps), binder.upstream)

    def _inherited(self, draft: Draft) -> Defaults:
        """Return the defaults of a pipeline inside this one: the job's words go before the component's."""
        keys, component = draft.keys, draft.component
        if not isinstance(keys, PipelineJob) or component is None or not isinstance(component.keys, PipelineComponent):
            return self._defaults
        place = component.source.place
        there = pipeline_defaults(component.keys.settings or Settings(), component.keys.compute, place, self._faults)
        here = pipeline_defaults(keys.settings or Settings(), keys.compute, draft.place, self._faults)
        airflow = keys.airflow or JobAirflowKeys()
        fixed = component.keys.is_deterministic and keys.is_deterministic and airflow.allow_reuse
        options = self._steps.options(airflow, draft.place / "airflow").model_copy(update={"run_after": ()})
        return Defaults(
            here.compute or there.compute or self._defaults.compute,
            here.force_rerun or there.force_rerun or self._defaults.force_rerun or not fixed,
            options,
        )

    def _order(self, name: str, draft: Draft, lowered: dict[str, LoweredJob]) -> None:
        """Let a job wait for those of its ``run_after``."""
        airflow = (draft.keys.airflow if draft.keys else None) or JobAirflowKeys()
        for number, other in enumerate(airflow.run_after):
            here = draft.place / "airflow" / "run_after" / number
            if other == name:
                self._faults.add(here, "MLP118", "a job cannot run after itself.")
            elif other not in lowered:
                self._faults.add(here, "MLP115", f"there is no job '{other}'.{known(other, list(lowered))}")
            else:
                lowered[name] = wait(lowered[name], other, lowered[other])


def _ranked(number: int, job: LoweredJob) -> LoweredJob:
    return LoweredJob([replace(step, rank=(number, *step.rank)) for step in job.steps], job.upstream)


def grouped(group: str, steps: Iterable[Lowered]) -> list[Lowered]:
    """Return the steps of a group."""
    return [replace(step, groups=(group, *step.groups)) for step in steps]


def wait(job: LoweredJob, name: str, other: LoweredJob) -> LoweredJob:
    """Return a job whose first steps wait for the last ones of another.

    :param name: of the other job.
    """
    return LoweredJob(after(job.steps, ends(other.steps)), [*job.upstream, name])


def after(steps: list[Lowered], before: Iterable[str]) -> list[Lowered]:
    """Return steps of which the first ones wait for others."""
    names = {step.fields["name"] for step in steps}
    extra = tuple(before)
    return [
        replace(step, after=(*step.after, *extra)) if names.isdisjoint(predecessors(step)) else step for step in steps
    ]


def ends(steps: Iterable[Lowered]) -> list[str]:
    """Return the steps of a job that none of its others waits for."""
    steps = list(steps)
    awaited = {name for step in steps for name in predecessors(step)}
    return [step.fields["name"] for step in steps if step.fields["name"] not in awaited]


def predecessors(step: Lowered) -> list[str]:
    """Return the steps that a step waits for, by data or by order."""
    found = [referred_step(value) for value in step.fields["inputs"].values()]
    return [*(name for name in found if name is not None), *step.after]


def finished(steps: Sequence[Lowered]) -> Iterator[Step]:
    """Yield the steps; each names those that it waits for in the order in which they were written."""
    written = sorted(steps, key=lambda step: step.rank)
    rank = {step.fields["name"]: number for number, step in enumerate(written)}
    for step in steps:
        upstream = sorted(set(predecessors(step)), key=lambda name: rank[name])
        yield Step(**step.fields, upstream=tuple(upstream))
