"""Jobs with nothing left to look up, and how the steps of one wait for those of another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from airflow_mlpipe.spec.diagnostics import Place
from airflow_mlpipe.spec.model import StepOptions
from airflow_mlpipe.spec.scope import referred_step


@dataclass(frozen=True)
class Lowered:
    """A job with nothing left to look up.

    :param fields: the keyword arguments of its ``Step``.
    :param upstream: jobs of the same pipeline that must end first; may name jobs more than once.
    :param place: where the job is written.
    :param after: steps that must end first although no data flows.
    :param groups: the groups that it lies in, the outermost first.
    :param rank: where it was written: its number among the jobs of each pipeline, from the outside in.
    """

    fields: dict[str, Any]
    upstream: list[str]
    options: StepOptions
    place: Place
    after: tuple[str, ...] = ()
    rank: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoweredJob:
    """The steps that a job becomes, each after those that it depends on, and the jobs that must end first."""

    steps: list[Lowered]
    upstream: list[str]


def ranked(number: int, job: LoweredJob) -> LoweredJob:
    """Return a job whose steps know its number among the jobs of its pipeline."""
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
