"""Deciding reuse for a whole run at once.

A task costs Airflow a second or two even if it does nothing, so one look at the head of the run decides every step that
can be decided, and the reused ones are skipped in one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.errors import DataError, TransientComputeError
from airflow_mlpipe.execution.branching import Decision, decide, records
from airflow_mlpipe.execution.choice import Choice, choose, reused_record
from airflow_mlpipe.execution.inputs import NotYetKnownError
from airflow_mlpipe.execution.machines import refuse_what_cannot_be_given
from airflow_mlpipe.execution.resolve import SnapshotCache, resolve_step
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import RunRecord, StepRecord
from airflow_mlpipe.workspace import Workspace


@dataclass(frozen=True)
class StepPlan:
    """What will become of a step.

    :param step: the step.
    :param decision: ``reuse``; ``run``; ``later`` when its inputs do not exist yet and the step decides itself; of a
        branch step ``decide``, when its condition is known; ``skip`` when such a condition leaves the step out.
    :param reason: why, in words a person understands.
    :param choice: the earlier result, for ``reuse``.
    :param branch: what was decided, for ``decide``.
    """

    step: Step
    decision: Literal["reuse", "run", "later", "decide", "skip"]
    reason: str
    choice: Choice | None = None
    branch: Decision | None = None

    @property
    def saved(self) -> float:
        """Seconds that reuse saves."""
        return self.choice.record.seconds if self.choice is not None and self.choice.record is not None else 0.0


def plan(workspace: Workspace, steps: Sequence[Step], run: RunInfo) -> list[StepPlan]:
    """Look at every step of a run, change nothing.

    A step is decided only if all steps before it, by data or by order, are reused: whatever runs before it may change
    what it finds. Data that is missing now is no error here; it may come while the run goes on.

    :param steps: all steps of the pipeline, each after those that it depends on.
    :raises ParameterError: if the run lacks a parameter or field that a step needs.
    :raises ConfigError: if the workspace lacks something that a step names.
    """
    known: dict[str, Mapping[str, DataRef]] = {}
    left_out: dict[str, str] = {}
    snapshots = SnapshotCache()
    plans: list[StepPlan] = []
    for step in steps:
        refuse_what_cannot_be_given(workspace, step)
        waiting = [name for name in step.upstream if name not in known]
        if step.name in left_out:
            decided = StepPlan(step, "skip", left_out[step.name])
        elif waiting:
            decided = StepPlan(step, "later", "depends on " + ", ".join(waiting))
        elif step.branch is not None:
            decided = _branch(workspace, steps, step, run, known)
        else:
            decided = _decide(workspace, step, run, known, snapshots)
        plans.append(decided)
        if decided.choice is not None and decided.choice.record is not None:
            known[step.name] = decided.choice.record.outputs
        if decided.branch is not None:
            known |= {step.name: {}, **decided.branch.left_out}
            left_out |= dict.fromkeys(decided.branch.left_out, f"{step.name}: {decided.reason}")
    return plans


def _branch(
    workspace: Workspace, steps: Sequence[Step], step: Step, run: RunInfo, known: Mapping[str, Mapping[str, DataRef]]
) -> StepPlan:
    try:
        decision = decide(workspace, steps, step, run, known.get)
    except NotYetKnownError as error:
        return StepPlan(step, "later", f"depends on {error.step}")
    except DataError as error:
        return StepPlan(step, "later", str(error))
    return StepPlan(step, "decide", decision.reason, branch=decision)


def _decide(
    workspace: Workspace, step: Step, run: RunInfo, known: Mapping[str, Mapping[str, DataRef]], snapshots: SnapshotCache
) -> StepPlan:
    try:
        resolved = resolve_step(workspace, step, run, known.get, snapshots)
    except NotYetKnownError as error:
        return StepPlan(step, "later", f"depends on {error.step}")
    except (DataError, TransientComputeError) as error:
        return StepPlan(step, "later", str(error))
    choice = choose(workspace, resolved, run)
    if choice.record is None:
        return StepPlan(step, "run", choice.reason)
    return StepPlan(step, "reuse", choice.reason, choice)


def commit_plan(workspace: Workspace, run: RunInfo, plans: Sequence[StepPlan], epoch: int) -> list[str]:
    """Write the run's record and those of its reused steps, and return the names of these; see :func:`record_plan`."""
    return [record.step for record in record_plan(workspace, run, plans, epoch)]


def record_plan(workspace: Workspace, run: RunInfo, plans: Sequence[StepPlan], epoch: int) -> list[StepRecord]:
    """Write the run's record and those of the steps of which the plan has made an end.

    A person who clears the plan task together with steps that have ended wants these steps to run again, so a plan of a
    later epoch leaves every step alone that has a record in this run already.

    :param epoch: Airflow's ``ti.max_tries`` of the plan task.
    :returns: the records of the steps that are reused, decided or left out, to be skipped.
    """
    earlier = workspace.runs.read_run(run.pipeline, run.run_id)
    again = earlier is not None and earlier.plan_epoch != epoch
    started = earlier.started if earlier is not None else datetime.now(timezone.utc)
    workspace.runs.write_run(
        RunRecord(
            pipeline=run.pipeline,
            run_id=run.run_id,
            parameters=dict(run.parameters),
            started=started,
            plan_epoch=epoch,
            labels=run.labels,
        )
    )
    ended: list[StepRecord] = []
    for item in plans:
        if item.choice is None and item.branch is None:
            continue
        if again and workspace.runs.read_step(run.pipeline, run.run_id, item.step.name) is not None:
            continue
        if item.branch is not None:
            ended += records(item.branch, run, epoch=None)
        elif item.decision == "reuse" and item.choice is not None:
            ended.append(reused_record(workspace, item.step, run, item.choice, epoch=None))
    workspace.runs.write_steps(ended)
    return ended
