"""Records of runs, of their steps and of submitted jobs, kept in any record storage.

Under the prefix lie ``runs/<pipeline>/<run>.json``, ``steps/<pipeline>/<run>/<step>.json`` and
``jobs/<pipeline>/<run>/<step>/<ordinal>.json``: runs lie apart from what is in them, so that a list of a thousand runs
reads a thousand keys and not all steps and jobs of these runs.

Every write is durable when it returns. What is read may have been damaged by a disk or a person:

- a damaged run or step record counts as absent, with a warning in the log: the step is looked up or run again, which is
  always right;
- a damaged job record is a :class:`~airflow_mlpipe.errors.StoreError`: passing it over could start a second job beside
  one that still runs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import TypeVar

from airflow_mlpipe.errors import StoreError
from airflow_mlpipe.frozen import Kept, from_json, to_json
from airflow_mlpipe.storage import RecordStorage, from_segment, replace_all, seal, segment, unseal
from airflow_mlpipe.tracking.base import JobRecord, RunRecord, StepRecord

_log = logging.getLogger(__name__)
_R = TypeVar("_R", bound=Kept)


class RunStore:
    """Keeps and finds the records of runs.

    A number that is not finite (a metric that diverged) is kept as ``null``, since JSON has no word for it.

    :param storage: where the records lie.
    :param prefix: folder in it, shared with the reuse store and the registry.
    """

    def __init__(self, storage: RecordStorage, prefix: str = "mlpipe") -> None:
        self.storage = storage
        self.prefix = prefix

    def write_run(self, record: RunRecord) -> None:
        """Store a run's record, in place of an earlier one."""
        self.storage.replace(self._run_key(record.pipeline, record.run_id), _to_json(record))

    def read_run(self, pipeline: str, run_id: str) -> RunRecord | None:
        """Return a run's record, ``None`` if there is none or it is damaged."""
        return self._read(self._run_key(pipeline, run_id), RunRecord)

    def runs(self, pipeline: str) -> list[RunRecord]:
        """Return the runs of a pipeline, the earliest first."""
        keys = self.storage.keys(f"{self.prefix}/runs/{segment(pipeline)}/")
        found = [self._read(key, RunRecord) for key in keys if key.endswith(".json")]
        return sorted((run for run in found if run), key=lambda run: (run.started.timestamp(), run.run_id))

    def pipelines(self) -> list[str]:
        """Return the names of all pipelines that have a run, sorted."""
        start = f"{self.prefix}/runs/"
        rest = (key[len(start) :].split("/") for key in self.storage.keys(start))
        return sorted({from_segment(parts[0]) for parts in rest if len(parts) == 2})

    def write_step(self, record: StepRecord) -> None:
        """Store the end of a step, in place of an earlier one of the same run."""
        self.storage.replace(self._step_key(record.pipeline, record.run_id, record.step), _to_json(record))

    def write_steps(self, records: Iterable[StepRecord]) -> None:
        """Store the ends of many steps, as :meth:`write_step` does, for less than one by one."""
        replace_all(
            self.storage,
            {self._step_key(item.pipeline, item.run_id, item.step): _to_json(item) for item in records},
        )

    def read_step(self, pipeline: str, run_id: str, step: str) -> StepRecord | None:
        """Return the end of a step, ``None`` if it has not ended or the record is damaged."""
        return self._read(self._step_key(pipeline, run_id, step), StepRecord)

    def steps(self, pipeline: str, run_id: str) -> list[StepRecord]:
        """Return the steps of a run that have ended, in the order in which they ended."""
        keys = self.storage.keys(f"{self.prefix}/steps/{segment(pipeline)}/{segment(run_id)}/")
        found = [self._read(key, StepRecord) for key in keys if key.endswith(".json")]
        return sorted((step for step in found if step), key=lambda step: (step.ended.timestamp(), step.step))

    def create_job(self, pipeline: str, run_id: str, step: str, job: JobRecord) -> bool:
        """Store the intent to submit a job, unless its ordinal is taken.

        :returns: True if this very record is stored; False if another process took the ordinal: read it and adopt.
        """
        return self.storage.create(self._job_key(pipeline, run_id, step, job.ordinal), _to_json(job))

    def write_job(self, pipeline: str, run_id: str, step: str, job: JobRecord) -> None:
        """Store what is known of a job now, in place of what was known before."""
        self.storage.replace(self._job_key(pipeline, run_id, step, job.ordinal), _to_json(job))

    def jobs(self, pipeline: str, run_id: str, step: str) -> list[JobRecord]:
        """Return the jobs of a step of a run, by ordinal.

        :raises StoreError: if one of the records is damaged.
        """
        found = []
        for key in self.storage.keys(self._jobs(pipeline, run_id, step)):
            data = self.storage.read(key)
            if data is None:
                continue
            try:
                found.append(from_json(JobRecord, unseal(data)))
            except ValueError as error:
                raise StoreError(
                    f"The job record {key} is damaged ({error}). Whether its job still runs cannot be known: "
                    f"look on the compute target, end the job if it runs, delete this record, then retry the step."
                ) from error
        return sorted(found, key=lambda job: job.ordinal)

    def _read(self, key: str, model: type[_R]) -> _R | None:
        data = self.storage.read(key)
        if data is None:
            return None
        try:
            return from_json(model, unseal(data))
        except ValueError as error:
            _log.warning("The record %s is damaged (%s); it counts as absent.", key, error)
            return None

    def _run_key(self, pipeline: str, run_id: str) -> str:
        return f"{self.prefix}/runs/{segment(pipeline)}/{segment(run_id)}.json"

    def _step_key(self, pipeline: str, run_id: str, step: str) -> str:
        return f"{self.prefix}/steps/{segment(pipeline)}/{segment(run_id)}/{segment(step)}.json"

    def _jobs(self, pipeline: str, run_id: str, step: str) -> str:
        return f"{self.prefix}/jobs/{segment(pipeline)}/{segment(run_id)}/{segment(step)}/"

    def _job_key(self, pipeline: str, run_id: str, step: str, ordinal: int) -> str:
        return f"{self._jobs(pipeline, run_id, step)}{ordinal:06d}.json"


def _to_json(record: Kept) -> bytes:
    for name in ("seconds", "saved"):
        if not math.isfinite(getattr(record, name, 0.0)):
            raise StoreError(
                f"A record cannot be written: {name} is {getattr(record, name)}, a finite number is needed."
            )
    try:
        return seal(to_json(record))
    except ValueError as error:
        raise StoreError(f"A record cannot be written as JSON: {error}. Use plain text and numbers.") from error
