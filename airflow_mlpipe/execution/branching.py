"""Decisions: what a condition leaves out of a run.

A step that reads, without being able to do without it, what a step that is left out would have written is left out as
well. A step whose input is optional runs, and sees nothing there; so it can bring two branches together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.errors import ConfigError, StepFailedError
from airflow_mlpipe.execution.inputs import NotYetKnownError, OutputsOf
from airflow_mlpipe.execution.resolve import resolve_inputs
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.expressions import OutputRef, parse
from airflow_mlpipe.spec.step import Branch, InputData, Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace

Outputs = Mapping[str, DataRef]


@dataclass(frozen=True)
class Decision:
    """What a branch step has decided.

    :param step: the branch step.
    :param reason: in words a person understands, without a full stop.
    :param left_out: each step that is left out of the run, and the outputs that stand for its own.
    """

    step: str
    reason: str
    left_out: Mapping[str, Outputs]


def decide(workspace: Workspace, steps: Sequence[Step], step: Step, run: RunInfo, outputs_of: OutputsOf) -> Decision:
    """Look at the condition of a branch step; changes nothing.

    :param steps: all steps of the pipeline, each after those that it depends on.
    :param outputs_of: gives what upstream steps left in this run.
    :raises NotYetKnownError: if the step that decides has not ended.
    :raises DataError: if what it wrote is not true or false.
    """
    _, values = resolve_inputs(workspace, step, run, outputs_of)
    value = values.get("condition")
    if not isinstance(value, bool):
        raise ConfigError(f"Step {step.name}: its condition must be true or false; it is {value!r}.")
    known: dict[str, Outputs] = {}
    for name, stand_in in _left_out(steps, step, value).items():
        found = known.get(stand_in, outputs_of(stand_in)) if stand_in else None
        known[name] = found or {}
    return Decision(step.name, f"the condition is {str(value).lower()}", known)


def _left_out(steps: Sequence[Step], step: Step, value: bool) -> dict[str, str]:
    """Return the steps that are left out, each after those that it depends on, and what stands in for each."""
    found: dict[str, str] = {}
    branch = step.branch or Branch()
    waiting = dict.fromkeys(branch.when_false if value else branch.when_true, "")
    waiting |= {name: stand_in for name, stand_in in branch.stand_ins.items() if name in waiting}
    for each in steps:
        lost = any(source in found and not found[source] for source in _needs(each))
        if each.name not in waiting and not lost:
            continue
        stand_in = waiting.get(each.name, "")
        found[each.name] = stand_in if found.get(stand_in, stand_in) else ""
        if each.branch is not None:
            inner = dict.fromkeys((*each.branch.when_true, *each.branch.when_false), "")
            waiting |= {name: each.branch.stand_ins.get(name, "") for name in inner if not waiting.get(name)}
    return found


def _needs(step: Step) -> list[str]:
    """Return the steps without whose outputs a step cannot run."""
    data = [value for value in step.inputs.values() if isinstance(value, InputData) and not value.optional]
    refs = [part for value in data if "${{" in value.path for part in parse(value.path)]
    return [ref.job for ref in refs if isinstance(ref, OutputRef)]


def records(decision: Decision, run: RunInfo, epoch: int | None) -> list[StepRecord]:
    """Return what is written down of a decision: the branch step has ended, the steps that it leaves out are skipped.

    :param epoch: Airflow's ``ti.max_tries``, ``None`` when the plan of the run decided.
    """
    now = datetime.now(timezone.utc)
    done = StepRecord(
        pipeline=run.pipeline,
        run_id=run.run_id,
        step=decision.step,
        decision="decided",
        reason=decision.reason,
        epoch=epoch,
        started=now,
        ended=now,
    )
    reason = f"{decision.step}: {decision.reason}"
    skipped = [
        replaced(done, step=name, decision="skipped", reason=reason, epoch=None, outputs=dict(outputs))
        for name, outputs in decision.left_out.items()
    ]
    return [*skipped, done]


def take(workspace: Workspace, steps: Sequence[Step], step: Step, run: RunInfo, epoch: int) -> list[StepRecord]:
    """Decide, and write it down; returns the records, that of the branch step last.

    :raises StepFailedError: if the step that decides has not ended well in this run.
    :raises DataError: if what it wrote is not true or false.
    """

    def outputs_of(name: str) -> Outputs | None:
        record = workspace.runs.read_step(run.pipeline, run.run_id, name)
        return None if record is None or record.decision == "failed" else record.outputs

    try:
        written = records(decide(workspace, steps, step, run, outputs_of), run, epoch)
    except NotYetKnownError as error:
        text = f"Step {step.name} needs the outputs of step {error.step}, which has not ended well in this run."
        raise StepFailedError(f"{text} Run or clear {error.step} first.") from None
    workspace.runs.write_steps(written)
    return written
