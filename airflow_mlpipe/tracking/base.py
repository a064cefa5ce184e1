"""What is kept of a run: one document per run, one per step, one per submitted job."""

from datetime import datetime
from typing import Any, Literal

from msgspec import field

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.frozen import Kept

Decision = Literal["reused", "ran", "failed", "decided", "skipped"]


class RunLabels(Kept, frozen=True, kw_only=True):
    """What the caller of a run said about it; nothing of it counts for results.

    :param source: who called, in the caller's own words (Azure's ``RunSource``).
    :param run_type: Azure's ``RunType``.
    """

    experiment: str = ""
    display_name: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    source: str = ""
    run_type: str = ""
    schedule_id: str = ""
    parent_run_id: str = ""


class RunRecord(Kept, frozen=True, kw_only=True):
    """A run of a pipeline.

    :param pipeline: name of the pipeline (the DAG id).
    :param run_id: Airflow's run id, or the one that ``mlpipe run`` made.
    :param parameters: the pipeline's inputs as this run uses them.
    :param plan_epoch: Airflow's ``max_tries`` of the plan task; it grows when a person clears the task.
    :param labels: what the caller said about the run.
    """

    pipeline: str
    run_id: str
    parameters: dict[str, Any] = field(default_factory=dict)
    started: datetime
    plan_epoch: int | None = None
    labels: RunLabels = field(default_factory=RunLabels)


class StepRecord(Kept, frozen=True, kw_only=True):
    """The end of a step in a run; it exists only once the step has ended.

    :param decision: reused, ran or failed; decided: a branch step; skipped: a branch step left it out of this run.
    :param reason: why, in words a person understands.
    :param epoch: Airflow's ``max_tries`` when the step ended, ``None`` when the plan task decided. A step that has a
        final record of another epoch was cleared by a person and runs again.
    :param key: reuse key.
    :param origin: ``pipeline`` and ``run_id`` of the run whose outputs are reused, ``None`` if the step ran here.
    :param outputs: port name to data; of a skipped round of a loop, what the last round has made.
    :param metrics: ``[{"name", "value", "step"}]``; a reused step replays those of its origin.
    :param registered: port name to ``name:version``.
    :param seconds: run time of the step's own work; of the original run for a reused step.
    :param saved: seconds that reuse saved.
    :param inputs: lineage, port to ``name:version`` or address; ``@latest`` is resolved to the version that was read.
    """

    pipeline: str
    run_id: str
    step: str
    decision: Decision
    reason: str = ""
    epoch: int | None = None
    key: str | None = None
    origin: dict[str, str] | None = None
    outputs: dict[str, DataRef] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    registered: dict[str, str] = field(default_factory=dict)
    started: datetime
    ended: datetime
    seconds: float = 0.0
    saved: float = 0.0
    log: str = ""
    inputs: dict[str, str] = field(default_factory=dict)


class InputSource(Kept, frozen=True, kw_only=True):
    """Where an input lies and what it held when the job was submitted.

    :param datastore: name of the datastore, ``None`` for a path of this machine.
    :param path: path in the datastore, or absolute path.
    :param include: the only files of the folder that belong to the input.
    :param digest: content digest.
    """

    port: str
    datastore: str | None
    path: str
    include: list[str] | None = None
    digest: str


class JobRecord(Kept, frozen=True, kw_only=True):
    """The intent to run a job, written before it is submitted and again once its id is known.

    :param ordinal: rises only after a terminal failure or a clear; the run key is made of it.
    :param epoch: Airflow's ``max_tries`` when the intent was written.
    :param key: run key.
    :param attempt: prefix in the workspace store that the job writes its outputs to.
    :param handle: the submitted job as JSON, ``None`` while only the intent is known.
    :param ended: state of the job once it is known to have ended.
    :param fingerprint: reuse key the job was made for.
    :param parts: the fingerprint's parts; an adopted job is finished under the identity that it was started with.
    :param sources: where the inputs lie and what they held, to see whether one changed while the step ran.
    :param inputs: lineage, port to ``name:version`` or address.
    :param reason: why the step ran.
    :param cleared: a person cleared the step, so its result replaces the reuse record.
    :param log: where a person finds the full log.
    """

    ordinal: int
    epoch: int
    key: str
    attempt: str
    target: str
    started: datetime
    handle: dict[str, str] | None = None
    ended: str | None = None
    fingerprint: str | None = None
    parts: dict[str, Any] = field(default_factory=dict)
    sources: list[InputSource] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    cleared: bool = False
    log: str = ""
