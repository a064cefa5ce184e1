"""From control flow to steps: decisions, and one step for each round of a loop.

A decision is a step of type ``branch``. What it leaves out is the business of whoever runs the pipeline; see
:class:`~airflow_mlpipe.spec.step.Branch`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from airflow_mlpipe.spec.bindings import InputBinder
from airflow_mlpipe.spec.control import Control
from airflow_mlpipe.spec.control_documents import IfElse, decision_name
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.jobs import Draft
from airflow_mlpipe.spec.lowered import Lowered, LoweredJob, after, ends, grouped, wait
from airflow_mlpipe.spec.lowering import StepLowerer
from airflow_mlpipe.spec.model import Parameter, StepOptions
from airflow_mlpipe.spec.ports import ScalarPort
from airflow_mlpipe.spec.scope import Outputs, Scope
from airflow_mlpipe.spec.step import Branch

LowerRound = Callable[[Draft, Scope, StepOptions], LoweredJob]
_CONDITION = ScalarPort(Parameter(type="boolean"))


def branch_off(name: str, control: Control, lowered: dict[str, LoweredJob], owners: Mapping[str, str]) -> None:
    """Let the blocks of a decision wait for it, and tell it which steps they are."""
    blocks: dict[str, tuple[str, ...]] = {}
    for key in ("when_true", "when_false"):
        jobs = [owners.get(job, job) for job in getattr(control, key)]
        blocks[key] = tuple(step.fields["name"] for job in jobs if job in lowered for step in lowered[job].steps)
        for job in jobs:
            if job in lowered:
                lowered[job] = wait(lowered[job], name, lowered[name])
    branch = Branch(when_true=blocks["when_true"], when_false=blocks["when_false"])
    steps = [replace(step, fields=step.fields | {"branch": branch}) for step in lowered[name].steps]
    lowered[name] = replace(lowered[name], steps=steps)


class ControlLowerer:
    """Lowers the control flow of one pipeline.

    :param lower_round: lowers the body of a loop in a scope of its own.
    """

    def __init__(self, scope: Scope, steps: StepLowerer, faults: Faults, lower_round: LowerRound) -> None:
        self._scope = scope
        self._steps = steps
        self._faults = faults
        self._lower_round = lower_round

    def lower(self, draft: Draft, control: Control) -> LoweredJob:
        """Return the decision, or all rounds of the loop."""
        options = self._steps.options(draft.airflow, draft.place / "airflow")
        if isinstance(control.keys, IfElse):
            return self._decision(draft.name, control.keys.condition, draft.place, self._scope, options)
        return self._loop(draft, control, options)

    def _decision(self, name: str, condition: Any, place: Place, scope: Scope, options: StepOptions) -> LoweredJob:
        binder = InputBinder(name, scope, self._faults)
        value = binder.bind(condition, place / "condition", _CONDITION) if condition is not None else None
        fields = {"name": scope.step(name), "type": "branch", "inputs": {"condition": value}, "outputs": {}}
        return LoweredJob([Lowered(fields, binder.upstream, options, place)], binder.upstream)

    def _loop(self, draft: Draft, control: Control, options: StepOptions) -> LoweredJob:
        rounds = list((draft.inner or {}).items())
        steps: list[Lowered] = []
        upstream: list[str] = []
        before: LoweredJob | None = None
        for number, (_, each) in enumerate(rounds, start=1):
            earlier = rounds[number - 2][1].outputs if number > 1 else None
            job = self._lower_round(each, self._inside(draft, control, earlier), options)
            if draft.kind == "do_while" and before is not None:
                job = self._after_decision(job, before, steps)
            upstream += job.upstream
            steps += job.steps
            before = job
            if control.keys.has_decisions and number < len(rounds):
                scope = self._inside(draft, control, each.outputs)
                condition = getattr(control.keys, "condition", None)
                decision = self._decision(decision_name(number), condition, draft.place, scope, options)
                upstream += decision.upstream
                steps += decision.steps
        others = [name for name in upstream if name not in (draft.name, control.body)]
        return LoweredJob(grouped(draft.name, _with_decisions(steps, self._scope.step(draft.name))), others)

    def _inside(self, draft: Draft, control: Control, earlier: Outputs | None) -> Scope:
        """Return what a round may refer to: the jobs around the loop, and what the round before has made."""
        jobs = {name: outputs for name, outputs in self._scope.jobs.items() if name not in (draft.name, control.body)}
        if draft.kind == "do_while" and earlier is not None:
            jobs[control.body] = earlier
        return self._scope.with_jobs(jobs, self._scope.step(draft.name))

    def _after_decision(self, job: LoweredJob, before: LoweredJob, steps: list[Lowered]) -> LoweredJob:
        """A round begins when the decision has fallen, or without one when the round before has ended."""
        last = steps[-1]
        names = [last.fields["name"]] if last.fields["type"] == "branch" else ends(before.steps)
        return LoweredJob(after(job.steps, names), job.upstream)


def _with_decisions(steps: list[Lowered], group: str) -> list[Lowered]:
    """Tell each decision of a loop which round it is about, and which steps stand in for it."""
    cuts = [number for number, step in enumerate(steps) if _is_decision(step, group)]
    result = list(steps)
    begins = [0, *(cut + 1 for cut in cuts)]
    for index, cut in enumerate(cuts):
        end = cuts[index + 1] + 1 if index + 1 < len(cuts) else len(steps)
        coming = [step.fields["name"] for step in steps[cut + 1 : end]]
        gone = [step.fields["name"] for step in steps[begins[index] : cut]]
        stand_ins = dict(zip(coming, gone, strict=False))
        branch = Branch(when_true=tuple(coming), stand_ins=stand_ins)
        result[cut] = replace(steps[cut], fields=steps[cut].fields | {"branch": branch})
    return [replace(step, rank=(number, *step.rank)) for number, step in enumerate(result)]


def _is_decision(step: Lowered, group: str) -> bool:
    name: str = step.fields["name"]
    return step.fields["type"] == "branch" and name.removeprefix(f"{group}.again_").isdigit()
