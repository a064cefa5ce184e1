"""What belongs to one run, and the small things that cross from one process of a step's life to the next."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from airflow_mlpipe.compute.base import JobHandle
from airflow_mlpipe.spec.step import Scalar
from airflow_mlpipe.tracking.base import RunLabels

ReuseMode = Literal["auto", "force", "disable"]
"""``auto``: reuse what is identical. ``force``: run, and refresh the record. ``disable``: run, leave them alone."""

Say = Callable[[str], None]
"""Takes one line of progress for a person."""


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class RunInfo:
    """One run of a pipeline.

    :param pipeline: name of the pipeline, the DAG id.
    :param run_id: Airflow's run id, or the one that ``mlpipe run`` made.
    :param parameters: the pipeline's scalar inputs, typed, defaults filled in.
    :param fields: the run fields of ``spec.expressions.RUN_FIELDS`` as text (dates in ISO 8601); ``None`` for one that
        this run has not, such as the dates of a run that was triggered with ``logical_date: null``.
    :param base: folder that relative paths (code, local inputs, environment files) start from.
    :param reuse: reuse mode of the whole run.
    :param step_reuse: reuse modes of single steps; they win.
    :param labels: what the caller said about the run.
    """

    pipeline: str
    run_id: str
    parameters: Mapping[str, Scalar]
    fields: Mapping[str, str | None]
    base: Path
    reuse: ReuseMode = "auto"
    step_reuse: Mapping[str, ReuseMode] = field(default_factory=dict)
    labels: RunLabels = field(default_factory=RunLabels)

    def mode(self, step: str) -> ReuseMode:
        """Return the reuse mode of one step."""
        return self.step_reuse.get(step, self.reuse)


@dataclass(frozen=True)
class Ticket:
    """A submitted job that still has to be finished; JSON-able, it crosses a deferral.

    :param handle: the job.
    :param ordinal: of the job's record in this run.
    :param deadline: UNIX time after which the job is ended, ``None`` for never.
    """

    handle: JobHandle
    ordinal: int
    deadline: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"handle": self.handle.to_json(), "ordinal": self.ordinal, "deadline": self.deadline}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Ticket:
        """Read :meth:`to_json` back."""
        return cls(JobHandle.from_json(value["handle"]), value["ordinal"], value["deadline"])


def run_key(pipeline: str, run_id: str, step: str, ordinal: int) -> str:
    """Return the key under which a job is submitted: 52 characters ``[a-z0-9-]``, fit for every target."""
    text = json.dumps([pipeline, run_id, step, ordinal])
    return "mlp-" + hashlib.sha256(text.encode()).hexdigest()[:48]
