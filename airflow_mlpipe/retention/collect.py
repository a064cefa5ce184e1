"""Garbage collection: what nobody needs any more goes, in an order that a crash at any point leaves right.

A result first loses its record, so that nobody can find it; a tombstone says since when. Its data go when the grace is
over and still nobody needs them, by a later collection. A hit in between leaves a step record; that is a root, so the
next collection puts the record back.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from stat import S_ISDIR

from airflow_mlpipe.errors import ComputeError, ConfigError, DataError, StoreError
from airflow_mlpipe.retention.base import Item, Policy, Report
from airflow_mlpipe.retention.pins import Pins
from airflow_mlpipe.retention.survey import Survey, ended_jobs, last_use, survey
from airflow_mlpipe.retention.trash import Tombstone, Trash
from airflow_mlpipe.reuse.inventory import StoredResult, begun, named_digests, remove_texts
from airflow_mlpipe.tracking.history import PastRun, forget_run
from airflow_mlpipe.workspace import Workspace

_JOB_KEY = re.compile(r"mlp-[0-9a-f]{48}")


def collect(workspace: Workspace, policy: Policy, delete: bool = False, now: datetime | None = None) -> Report:
    """Find what nobody needs any more, and remove it if asked to. Safe beside running pipelines and beside itself.

    :param delete: do it; otherwise only look.
    :param now: the time, for tests.
    :raises StoreError: if a record that keeps something is damaged, so that nobody knows what; nothing is removed then.
    :raises DataError: if it is the record of a registered version.
    """
    now = now or datetime.now(timezone.utc)
    found = survey(workspace, policy, now)
    collector = _Collector(workspace, policy, found, now)
    items = tuple(collector.items())
    problems: list[str] = []
    spared: list[str] = []
    for item in items if delete else ():
        try:
            why = item.apply()
        except (StoreError, DataError, ComputeError, ConfigError, OSError) as error:
            problems.append(f"{item.kind} {item.name}: {error}")
            continue
        if why:
            spared.append(f"{item.kind} {item.name}: {why}")
    return Report(items, delete, tuple(problems), tuple(spared), len(found.roots.keys() & found.attempts))


class _Collector:
    """Turns what was found into things to do."""

    def __init__(self, workspace: Workspace, policy: Policy, found: Survey, now: datetime) -> None:
        self._workspace = workspace
        self._policy = policy
        self._found = found
        self._now = now
        self._store = workspace.reuse
        self._trash = Trash(self._store.datastore, self._store.prefix)
        self._pins = Pins(self._store.datastore, self._store.prefix)
        self._retired: set[str] = set()

    def items(self) -> Iterator[Item]:
        """Yield what is to do, in the order in which it must be done."""
        yield from self._restored()
        for result in self._found.results:
            if result.attempt is None or result.attempt not in self._found.roots:
                yield from self._result(result)
        for attempt in sorted(self._found.attempts - self._found.roots.keys() - self._retired):
            yield from self._attempt(attempt)
        yield from self._vanished()
        for rank, run in self._found.old:
            yield from self._run(rank, run)
        yield from self._scratch()
        yield from self._texts()
        yield from self._leases()

    def _restored(self) -> Iterator[Item]:
        """Attempts that are needed again: their records come back."""
        for attempt, stone in self._found.stones.items():
            if attempt not in self._found.roots or attempt not in self._found.attempts:
                continue
            why = f"needed again: {self._found.roots[attempt]}"
            yield Item("attempt", attempt, "restore", why, apply=partial(self._restore, attempt, stone))

    def _restore(self, attempt: str, stone: Tombstone | None) -> str | None:
        if stone is not None and stone.place is not None and stone.record is not None:
            inside = stone.place.startswith(f"{self._store.prefix}/reuse/")
            if inside and self._store.datastore.read(stone.place) is None:
                self._store.datastore.create(stone.place, stone.record.encode())
        self._trash.remove(attempt)
        return None

    def _result(self, result: StoredResult) -> Iterator[Item]:
        if result.foreign:
            return
        size, due = None, None
        if result.attempt in self._found.attempts:
            self._retired.add(result.attempt)
            size, due = self._size(result.attempt), self._now + self._policy.grace
        record = result.record
        if record is None:
            name, why = f"{result.key[:16]}...", "its record is damaged"
        else:
            name = f"{record.step} of run {record.run_id} of {record.pipeline}"
            last = datetime.fromtimestamp(last_use(self._workspace, self._found, result), timezone.utc)
            why = f"not used since {last:%Y-%m-%d}"
        yield Item("result", name, "retire", why, size, due, partial(self._retire, result))

    def _retire(self, result: StoredResult) -> str | None:
        store = self._store.datastore
        oldest = self._now - self._policy.older_than
        if store.read(result.place) != result.data:
            return "it was replaced meanwhile"
        if result.record is not None and last_use(self._workspace, self._found, result) >= oldest.timestamp():
            return "it was used meanwhile"
        if result.attempt is not None and result.attempt in self._found.attempts:
            record = result.data.decode() if result.record is not None else None
            self._trash.bury(Tombstone(result.attempt, self._now, result.place, record))
        store.delete(result.place)
        self._store.marks.remove(result.key)
        return None

    def _attempt(self, attempt: str) -> Iterator[Item]:
        if begun(attempt) > self._now - self._policy.grace:
            return
        stone = self._found.stones.get(attempt)
        size = self._size(attempt)
        if stone is None:
            due = self._now + self._policy.grace
            bury = Tombstone(attempt, self._now)
            why = "no record, no run and no asset names it"
            yield Item("attempt", attempt, "retire", why, size, due, partial(self._trash.bury, bury))
        elif stone.since + self._policy.grace > self._now:
            why = f"out of reach since {stone.since:%Y-%m-%d %H:%M}"
            yield Item("attempt", attempt, "wait", why, size, stone.since + self._policy.grace)
        else:
            why = f"out of reach since {stone.since:%Y-%m-%d %H:%M}"
            yield Item("attempt", attempt, "delete", why, size, None, partial(self._delete, stone))

    def _delete(self, stone: Tombstone) -> str | None:
        if self._trash.read(stone.attempt) != stone:
            return "another collection deals with it"
        place = stone.place and self._store.datastore.read(stone.place)
        if place is not None and place == (stone.record or "").encode():
            return "its record is back"
        if any(self._path(stone.attempt) in pin.attempts for pin in self._pins.all()):
            return "it was pinned meanwhile"
        self._workspace.datastore().remove(self._path(stone.attempt))
        self._trash.remove(stone.attempt)
        return None

    def _vanished(self) -> Iterator[Item]:
        """Tombstones whose attempts are gone: a collection was cut off."""
        for attempt in self._found.stones.keys() - self._found.attempts:
            yield Item(
                "attempt", attempt, "delete", "it is gone already", 0, None, partial(self._trash.remove, attempt)
            )

    def _run(self, rank: int, run: PastRun) -> Iterator[Item]:
        name = f"{run.run_id} of {run.pipeline}"
        last = run.last_sign
        why = f"last active {last:%Y-%m-%d}" if last is not None else "nothing of it can be read"
        if list(ended_jobs(self._workspace, self._found, run)):
            yield Item("job folder", f"jobs of run {name}", "delete", why, apply=partial(self._forget_jobs, run))
        if self._policy.keep_runs is not None and rank >= self._policy.keep_runs:
            yield Item("run records", name, "delete", why, apply=partial(self._forget_run, run))

    def _forget_jobs(self, run: PastRun) -> str | None:
        for target, handle in ended_jobs(self._workspace, self._found, run):
            asyncio.run(target.forget(handle))
        return None

    def _forget_run(self, run: PastRun) -> str | None:
        if list(ended_jobs(self._workspace, self._found, run)):
            return "its job folders are still there, so its records stay"
        forget_run(self._workspace.runs, run.pipeline, run.run_id)
        return None

    def _scratch(self) -> Iterator[Item]:
        """Passing copies of jobs whose process died."""
        root = self._workspace.folder / self._workspace.config.scratch
        oldest = (self._now - self._policy.grace).timestamp()
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if not _JOB_KEY.fullmatch(folder.name) or folder.is_symlink() or folder.name in self._found.busy:
                continue
            if _newest(folder) < oldest:
                why = "left behind by a process that died"
                yield Item("scratch", folder.name, "delete", why, _disk_size(folder), None, partial(_drop, folder))

    def _texts(self) -> Iterator[Item]:
        named: set[str] = set()
        for result in self._found.results:
            kept = result.attempt in self._found.roots or result.foreign
            if kept and result.record is not None:
                named |= named_digests(result.record.parts.get("code"))
        for part in self._found.codes:
            named |= named_digests(part)
        unused = [place for digest, place in self._found.texts.items() if digest not in named]
        if unused:
            why = "no result and no job was made from them"
            files = f"{len(unused)} {'file' if len(unused) == 1 else 'files'}"
            yield Item("source texts", files, "delete", why, apply=partial(remove_texts, self._store, unused))

    def _leases(self) -> Iterator[Item]:
        """What is left of single flights that landed long ago and whose results are gone."""
        results = {result.key for result in self._found.results}
        oldest = self._now - max(self._policy.older_than, self._policy.grace)
        begun = self._found.begun
        old = [key for key in self._found.flights if key not in results and begun.get(key, oldest) <= oldest]
        if old:
            why = "nobody began these steps for long, and their results are gone"
            yield Item("leases", f"{len(old)} steps", "delete", why, apply=partial(self._drop_leases, old))

    def _drop_leases(self, keys: list[str]) -> None:
        for key in keys:
            flight = self._workspace.flights.current(key)
            if flight is None or flight.landed:
                for place in self._found.flights[key]:
                    self._store.datastore.delete(place)

    def _path(self, attempt: str) -> str:
        return f"{self._store.prefix}/attempts/{attempt}"

    def _size(self, attempt: str) -> int | None:
        datastore = self._workspace.datastore()
        try:
            here = datastore.local_path(self._path(attempt))
            if here is not None:
                return _disk_size(here)
            content = datastore.summary(self._path(attempt))
        except (DataError, StoreError):
            return None
        return content.size if content is not None else 0


def _walk(folder: Path) -> Iterator[os.stat_result]:
    """Yield what is known of a folder and all in it; what vanishes meanwhile is left out."""
    for where, _, names in os.walk(folder):
        for path in (where, *(os.path.join(where, name) for name in names)):  # noqa: PTH118 - many files
            with suppress(FileNotFoundError):
                yield os.lstat(path)


def _disk_size(folder: Path) -> int:
    return sum(info.st_size for info in _walk(folder) if not S_ISDIR(info.st_mode))


def _newest(folder: Path) -> float:
    return max((info.st_mtime for info in _walk(folder)), default=0.0)


def _drop(folder: Path) -> str | None:
    shutil.rmtree(folder, ignore_errors=True)
    return "it could not be removed whole" if folder.exists() else None
