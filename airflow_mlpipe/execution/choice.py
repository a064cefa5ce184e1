"""Reuse or run: the one place where this is decided, and how a reused step is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.execution.explain import explain_miss
from airflow_mlpipe.execution.resolve import ResolvedStep
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.registry.base import AssetKind
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.spec.step import MODEL_TYPES, Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace

_KILO = 1000
_NEVER = {
    True: "an export looks at its destination in every run",
    False: "the step is marked as not deterministic",
}
"""Why a step is never reused: because it writes to a folder of somebody else, or because its author says so."""


@dataclass(frozen=True)
class Choice:
    """Whether a step is run.

    :param record: the earlier result to reuse, ``None`` to run.
    :param reason: why, in words a person understands, without a full stop.
    :param inputs: lineage of this run, port to ``name:version`` or address.
    """

    record: ReuseRecord | None
    reason: str
    inputs: Mapping[str, str] = field(default_factory=dict)


def choose(workspace: Workspace, resolved: ResolvedStep, run: RunInfo, cleared: bool = False) -> Choice:
    """Decide whether a step is run.

    :param resolved: the step with its identity.
    :param cleared: a person cleared the step in this run.
    """
    step = resolved.step
    mode = run.mode(step.name)
    if cleared:
        return Choice(None, "cleared by a person: clear means run again")
    if mode == "force":
        return Choice(None, "this run forces it (reuse: force)")
    if mode == "disable":
        return Choice(None, "this run does not reuse (reuse: disable)")
    if exports(step) or not step.is_deterministic:
        return Choice(None, _NEVER[exports(step)])
    found = workspace.reuse.find(resolved.fingerprint.key)
    if found.record is not None and is_expired(found.record, step):
        return Choice(None, f"its result is older than {_duration(step.ttl or 0)}")
    if found.record is not None:
        return Choice(found.record, _identical(found.record, run), resolved.lineage)
    if found.problem:
        return Choice(None, found.problem)
    nearest = workspace.reuse.nearest(run.pipeline, step.name)
    return Choice(None, explain_miss(workspace, resolved, nearest))


def exports(step: Step) -> bool:
    """Return whether a step writes to a folder of somebody else, which only a look at that folder can judge."""
    return any(output.path is not None for output in step.outputs.values())


def is_expired(record: ReuseRecord | None, step: Step) -> bool:
    """Return whether a result is older than its step allows."""
    if record is None or step.ttl is None:
        return False
    return (datetime.now(timezone.utc) - record.created).total_seconds() > step.ttl


def _duration(seconds: float) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length:.0f} {unit}{'' if seconds == length else 's'}"
    return f"{seconds:g} {'second' if seconds == 1 else 'seconds'}"


def _identical(record: ReuseRecord, run: RunInfo) -> str:
    whose = "" if record.pipeline == run.pipeline else f" of {record.pipeline}"
    return f"identical to run {record.run_id}{whose} ({describe(record.outputs)})"


def describe(outputs: Mapping[str, DataRef]) -> str:
    """Return how much data some outputs hold: ``8 files, 41.0 MB``."""
    contents = [ref.content for ref in outputs.values()]
    return amount(sum(content.files for content in contents), sum(content.size for content in contents))


def amount(files: int, size: int) -> str:
    """Return a number of files and bytes as a person reads it: ``8 files, 41.0 MB``, in powers of 1000."""
    return f"{files} {'file' if files == 1 else 'files'}, {format_bytes(size)}"


def format_bytes(size: int) -> str:
    """Return a number of bytes as a person reads it: ``41.0 MB``, in powers of 1000."""
    number = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if number < _KILO:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= _KILO
    return f"{number:.1f} TB"


def asset_kind(data_type: str) -> AssetKind:
    """Return the registry that data of a type belongs to."""
    return "model" if data_type in MODEL_TYPES else "dataset"


def record_reuse(workspace: Workspace, step: Step, run: RunInfo, choice: Choice, epoch: int | None) -> StepRecord:
    """Write down that a step was reused; parameters as those of :func:`reused_record`."""
    done = reused_record(workspace, step, run, choice, epoch)
    workspace.runs.write_step(done)
    return done


def reused_record(workspace: Workspace, step: Step, run: RunInfo, choice: Choice, epoch: int | None) -> StepRecord:
    """Return the record of a reused step, with everything that its run would have given: metrics and registrations too.

    :param choice: with the record to reuse.
    :param epoch: ``None`` when the plan of the run decided.
    """
    record = choice.record
    if record is None:
        raise ValueError("there is no record to reuse")
    now = datetime.now(timezone.utc)
    return StepRecord(
        pipeline=run.pipeline,
        run_id=run.run_id,
        step=step.name,
        decision="reused",
        reason=choice.reason,
        epoch=epoch,
        key=record.key,
        origin={"pipeline": record.pipeline, "run_id": record.run_id},
        outputs=record.outputs,
        metrics=record.metrics,
        registered=_replay_registrations(workspace, step, run, record),
        started=now,
        ended=now,
        seconds=record.seconds,
        saved=record.seconds,
        inputs=dict(choice.inputs),
    )


def _replay_registrations(workspace: Workspace, step: Step, run: RunInfo, record: ReuseRecord) -> dict[str, str]:
    registered: dict[str, str] = {}
    for port, output in step.outputs.items():
        if output.name is None or port not in record.outputs:
            continue
        kind = asset_kind(output.type)
        name, _, version = record.registered.get(port, "").rpartition(":")
        if name == output.name and workspace.registry.get(kind, name, int(version)) is not None:
            registered[port] = f"{name}:{version}"
            continue
        lineage = {"pipeline": run.pipeline, "run_id": run.run_id, "step": step.name, "key": record.key}
        metrics = latest_metrics(record.metrics)
        asset = workspace.registry.register(
            kind, output.name, record.outputs[port], tags={}, lineage=lineage, metrics=metrics
        )
        registered[port] = f"{asset.name}:{asset.version}"
    return registered


def latest_metrics(metrics: Iterable[Mapping[str, object]]) -> dict[str, object]:
    """Return the last value of every metric."""
    return {str(item["name"]): item["value"] for item in metrics}
