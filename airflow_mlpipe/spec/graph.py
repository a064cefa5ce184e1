"""From the jobs of a pipeline, and of those inside it, to steps in the order in which they can run.

Data orders steps: one that reads an output waits for the very step that writes it, across all boundaries. What is
ordered without data (``run_after``) holds for whole jobs: the first steps of one wait for the last ones of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from airflow_mlpipe.frozen import checked, replaced
from airflow_mlpipe.spec.bindings import InputBinder
from airflow_mlpipe.spec.control_lowering import ControlLowerer, branch_off
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import Settings
from airflow_mlpipe.spec.job_inputs import JobInputs
from airflow_mlpipe.spec.jobs import Draft
from airflow_mlpipe.spec.lowered import Lowered, LoweredJob, grouped, predecessors, ranked, wait
from airflow_mlpipe.spec.lowering import Defaults, StepLowerer
from airflow_mlpipe.spec.model import StepOptions
from airflow_mlpipe.spec.nested_documents import PipelineComponent, PipelineJob
from airflow_mlpipe.spec.nesting import job_outputs, many
from airflow_mlpipe.spec.ordering import cycle, ordered
from airflow_mlpipe.spec.scope import Scope
from airflow_mlpipe.spec.settings import pipeline_defaults
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.spec.structure import known


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
        lowered = {name: ranked(number, self.job(draft)) for number, (name, draft) in enumerate(drafts.items())}
        owners = {draft.control.body: name for name, draft in drafts.items() if draft.control is not None}
        for draft in drafts.values():
            if draft.control is not None and draft.control.body == "":
                branch_off(draft.name, draft.control, lowered, owners)
        for name, draft in drafts.items():
            self._order(name, draft, lowered, owners)
        upstream = {name: _jobs_before(job, drafts, owners) for name, job in lowered.items()}
        loop = cycle(upstream)
        if loop:
            text = f"these jobs wait for each other: {' -> '.join(loop)}. Cut one of the references."
            self._faults.add(place / loop[0], "MLP109", text, of_key=True)
        return [step for name in ordered(upstream) for step in lowered[name].steps]

    def job(self, draft: Draft) -> LoweredJob:
        """Lower one job."""
        if draft.control is not None:
            return ControlLowerer(self._scope, self._steps, self._faults, self._again).lower(draft, draft.control)
        if draft.inner is not None:
            return self._group(draft, draft.inner)
        step = self._steps.lower(draft)
        return LoweredJob([step], step.upstream) if step is not None else LoweredJob([], [])

    def _again(self, draft: Draft, scope: Scope, options: StepOptions) -> LoweredJob:
        """Lower the body of a loop for one of its rounds."""
        defaults = replace(self._defaults, options=replaced(options, run_after=()))
        return GraphLowerer(scope, defaults, self._faults).job(draft)

    def _group(self, draft: Draft, inner: Mapping[str, Draft]) -> LoweredJob:
        """Lower a pipeline inside this one: its inputs become values of this pipeline."""
        component = draft.component
        if component is None:
            return LoweredJob([], [])
        binder = InputBinder(draft.name, self._scope, self._faults)
        bound, _ = JobInputs(self._scope, self._faults).read(draft, binder)
        group = self._scope.step(draft.name)
        scope = Scope(component.source, component.inputs, job_outputs(inner), many(inner), group, bound)
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
        fixed = component.keys.is_deterministic and keys.is_deterministic and draft.airflow.allow_reuse
        options = replaced(self._steps.options(draft.airflow, draft.place / "airflow"), run_after=())
        return Defaults(
            here.compute or there.compute or self._defaults.compute,
            here.force_rerun or there.force_rerun or self._defaults.force_rerun or not fixed,
            options,
        )

    def _order(self, name: str, draft: Draft, lowered: dict[str, LoweredJob], owners: Mapping[str, str]) -> None:
        """Let a job wait for those of its ``run_after``; what a body says holds for its loop."""
        for each in (draft, *list((draft.inner or {}).values())[:1]) if draft.control is not None else (draft,):
            for number, other in enumerate(each.airflow.run_after):
                here = each.place / "airflow" / "run_after" / number
                target = owners.get(other, other)
                if target == name:
                    self._faults.add(here, "MLP118", "a job cannot run after itself.")
                elif target not in lowered:
                    self._faults.add(here, "MLP115", f"there is no job '{other}'.{known(other, list(lowered))}")
                else:
                    lowered[name] = wait(lowered[name], target, lowered[target])


def _jobs_before(job: LoweredJob, drafts: Mapping[str, Draft], owners: Mapping[str, str]) -> list[str]:
    """Return the jobs that a job waits for, once each, in the order of the file; a body is its loop."""
    found = {owners.get(name, name) for name in job.upstream}
    return [name for name in drafts if name in found]


def finished(steps: Sequence[Lowered]) -> Iterator[Step]:
    """Yield the steps; each names those that it waits for in the order in which they were written."""
    written = sorted(steps, key=lambda step: step.rank)
    rank = {step.fields["name"]: number for number, step in enumerate(written)}
    for step in steps:
        upstream = sorted(set(predecessors(step)), key=lambda name: rank[name])
        yield checked(Step, {**step.fields, "upstream": tuple(upstream)})
