"""Everything that the run store remembers, run by run, for whoever has to look at all of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from airflow_mlpipe.storage import from_segment, segment
from airflow_mlpipe.tracking.base import JobRecord, RunRecord, StepRecord
from airflow_mlpipe.tracking.run_store import RunStore

_READS_AT_ONCE = 8


@dataclass
class PastRun:
    """A run with all that is kept of it.

    :param run: ``None`` if its record is missing or damaged.
    :param steps: those that ended; damaged records count as absent.
    :param jobs: step and job, in the order of submission.
    """

    pipeline: str
    run_id: str
    run: RunRecord | None = None
    steps: list[StepRecord] = field(default_factory=list)
    jobs: list[tuple[str, JobRecord]] = field(default_factory=list)

    @property
    def last_sign(self) -> datetime | None:
        """When something of the run last began or ended, ``None`` if nothing of it can be read."""
        moments = [step.ended for step in self.steps] + [job.started for _, job in self.jobs]
        return max([*moments, self.run.started] if self.run else moments, default=None)


def past_runs(store: RunStore) -> list[PastRun]:
    """Return every run of every pipeline, also those of which only parts are left.

    :raises StoreError: if a job record is damaged: its job may still run.
    """
    steps = [place[1:] for place in _keys(store, "steps", 3)]
    jobs = list(dict.fromkeys(place[1:4] for place in _keys(store, "jobs", 4)))
    names = dict.fromkeys([place[1:] for place in _keys(store, "runs", 2)])
    names |= dict.fromkeys(place[:2] for place in (*steps, *jobs))
    found = {name: PastRun(name[0], name[1]) for name in names}
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        for run, record in zip(found.values(), pool.map(lambda name: store.read_run(*name), found), strict=True):
            run.run = record
        for place, ended in zip(steps, pool.map(lambda place: store.read_step(*place), steps), strict=True):
            found[place[:2]].steps += [] if ended is None else [ended]
        for place, records in zip(jobs, pool.map(lambda place: store.jobs(*place), jobs), strict=True):
            found[place[:2]].jobs += [(place[2], job) for job in records]
    return list(found.values())


def by_pipeline(runs: Iterable[PastRun]) -> dict[str, list[PastRun]]:
    """Return the runs of each pipeline, the latest first; those of which no time is known come last."""
    groups: dict[str, list[PastRun]] = defaultdict(list)
    for run in runs:
        groups[run.pipeline].append(run)
    for group in groups.values():
        group.sort(key=lambda run: (run.last_sign.timestamp() if run.last_sign else 0.0, run.run_id), reverse=True)
    return dict(groups)


def forget_run(store: RunStore, pipeline: str, run_id: str) -> int:
    """Remove all records of a run, its own last: who is cut off simply asks again.

    :returns: number of records that were removed.
    """
    count = 0
    place = f"{segment(pipeline)}/{segment(run_id)}"
    for kind in ("jobs", "steps"):
        for key in list(store.storage.keys(f"{store.prefix}/{kind}/{place}/")):
            count += store.storage.delete(key)
    return count + store.storage.delete(f"{store.prefix}/runs/{place}.json")


def _keys(store: RunStore, kind: str, depth: int) -> Iterator[tuple[str, ...]]:
    """Yield the kind and the names in each key of a kind, decoded."""
    start = f"{store.prefix}/{kind}/"
    for key in store.storage.keys(start):
        parts = key[len(start) :].removesuffix(".json").split("/")
        if key.endswith(".json") and len(parts) == depth:
            yield (kind, *(from_segment(part) for part in parts))
