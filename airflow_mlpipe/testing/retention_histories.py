"""Random histories of a workspace with garbage collection, compared with plain dictionaries.

Steps are begun, end, fail, crash and are reused by two clients; results are registered, pinned and damaged; the clock
moves on; one collection looks, another one acts, a third is cut off after any of its deeds, and old looks are acted on
later. At every moment what somebody needs is whole, what was used lately is found, and in the end nothing else is left.
"""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import TestCase

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.retention import Item, Pin, Pins, Policy, collect
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.reuse.inventory import attempts
from airflow_mlpipe.reuse.marks import UseMarks
from airflow_mlpipe.tracking.base import Decision, JobRecord, RunRecord, StepRecord
from airflow_mlpipe.workspace import Workspace

POLICY = Policy(timedelta(days=10), keep_last=2, keep_runs=3, grace=timedelta(hours=24))
ABANDONED = timedelta(days=10)
"""An open job that no target knows counts as dead after this time: the larger of the policy's age and a week."""

_KEYS = st.sampled_from([letter * 64 for letter in "abc"])
_PIPELINES = st.sampled_from(["p", "q"])
_HOURS = st.sampled_from([1, 23, 25, 49, 150, 250])

COUNTS: Counter[str] = Counter()
"""How often each kind of event happened, over all histories of this process."""


@dataclass
class _Run:
    pipeline: str
    run_id: str
    attempt: str
    key: str
    last: datetime
    job: JobRecord | None = None
    ended: bool = False
    crashed: bool = False
    outputs: set[str] = field(default_factory=set)


def two_clients(make: Callable[[], Workspace]) -> list[Workspace]:
    """Return two workspaces over one store, or one where the store is seen by its own workspace alone."""
    clients = [make(), make()]
    clients[0].datastore().create("mlpipe/probe", b"")
    shared = clients[1].datastore().read("mlpipe/probe") is not None
    clients[0].datastore().delete("mlpipe/probe")
    return clients if shared else clients[:1]


def retention_histories(make: Callable[[Path], Workspace], examples: int = 15, steps: int = 40) -> type[TestCase]:
    """Return a test case that tries random histories.

    :param make: gives a workspace with nothing in it, for a fresh folder; asked for the same folder again it gives
        another client of the same store.
    :param examples: number of histories.
    :param steps: length of each.
    """

    class Histories(_Histories):
        def open(self, folder: Path) -> Workspace:
            return make(folder)

    case: type[TestCase] = Histories.TestCase
    case.settings = settings(  # type: ignore[attr-defined]  # hypothesis reads it from the test case
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    return case


class _Histories(RuleBasedStateMachine):
    """The machine.

    :ivar published: key to the record that was published last.
    :ivar used: key to the time of its last use.
    :ivar truth: attempt to the bytes of its output.
    :ivar damaged: attempts whose bytes were changed behind the store's back.
    """

    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.now = datetime.now(timezone.utc) + timedelta(days=2)
        self.clients = two_clients(lambda: self.open(self.folder))
        for client in self.clients:
            client.reuse.marks = UseMarks(client.reuse.datastore, "mlpipe/used", lambda: self.now)
        self.workspace, self.store = self.clients[0], self.clients[0].reuse
        self.runs: list[_Run] = []
        self.published: dict[str, ReuseRecord] = {}
        self.used: dict[str, datetime] = {}
        self.truth: dict[str, bytes] = {}
        self.damaged: set[str] = set()
        self.assets: set[str] = set()
        self.pins: dict[str, set[str]] = {}
        self.pending: list[Item] = []

    def open(self, folder: Path) -> Workspace:
        raise AssertionError(folder)

    def teardown(self) -> None:
        """Let everything come to rest, look a last time, and remove the folder."""
        self.settle()
        self._temporary.cleanup()

    @rule(number=st.sampled_from([0, 1]))
    def turn_to(self, number: int) -> None:
        """What follows is done by this client; it knows only what it finds in the store."""
        self.workspace = self.clients[number % len(self.clients)]
        self.store = self.workspace.reuse
        COUNTS["changes of client"] += 1

    @rule(pipeline=_PIPELINES, key=_KEYS, register=st.booleans())
    def run_through(self, pipeline: str, key: str, register: bool) -> None:
        """A step is submitted and ends well."""
        self.begin(pipeline, key)
        self._succeed(self.runs[-1], register)

    @rule(pipeline=_PIPELINES, key=_KEYS)
    def begin(self, pipeline: str, key: str) -> None:
        """A step is submitted: its intent first, then its data."""
        run_id, attempt = f"r{len(self.runs)}", self.store.new_attempt()
        self.workspace.runs.write_run(RunRecord(pipeline=pipeline, run_id=run_id, started=self.now))
        job = JobRecord(ordinal=1, epoch=0, key=secrets.token_hex(8), attempt=attempt, target="local", started=self.now)
        assert self.workspace.runs.create_job(pipeline, run_id, "s", job)
        data = secrets.token_bytes(9)
        source = self.folder / "file"
        source.write_bytes(data)
        self.workspace.datastore().upload(source, f"{attempt}/o")
        self.truth[attempt] = data
        self.runs.append(_Run(pipeline, run_id, attempt, key, self.now, job))
        COUNTS["begun"] += 1

    @precondition(lambda self: self._able())
    @rule(data=st.data(), register=st.booleans())
    def finish(self, data: st.DataObject, register: bool) -> None:
        """A step ends well."""
        self._succeed(data.draw(st.sampled_from(self._able())), register)

    @precondition(lambda self: self._able())
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """A worker dies between the record of a result and the end of its step; a retry may finish it later."""
        run = data.draw(st.sampled_from(self._able()))
        self._publish(run, self._ref(run.attempt))
        run.crashed = True
        COUNTS["crashed"] += 1

    def _succeed(self, run: _Run, register: bool) -> None:
        ref = self._ref(run.attempt)
        if register:
            self.workspace.registry.register("dataset", "d", ref)
            self.assets.add(run.attempt)
        self._publish(run, ref)
        self._end(run, run.attempt, ref, "ran")
        COUNTS["finished"] += 1

    def _publish(self, run: _Run, ref: DataRef) -> None:
        record = ReuseRecord(
            key=run.key, nonce=secrets.token_hex(8), parts={}, attempt=run.attempt, outputs={"o": ref},
            pipeline=run.pipeline, run_id=run.run_id, step="s", seconds=1, created=self.now,
        )  # fmt: skip
        if self.store.publish(record):
            self.published[run.key] = record
        self.used[run.key] = self.now

    @precondition(lambda self: any(not run.crashed for run in self._open()))
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        """A step fails: its job has ended, its data are nobody's."""
        run = data.draw(st.sampled_from([run for run in self._open() if not run.crashed]))
        self._close(run, "failed")
        COUNTS["failed"] += 1

    @rule(pipeline=_PIPELINES, key=_KEYS)
    def reuse(self, pipeline: str, key: str) -> None:
        """A step looks for its result and uses it."""
        record, found = self.published.get(key), self.store.find(key).record
        must = record is not None and record.attempt not in self.damaged and self._alive(key, record)
        assert found == record if must else found in (None, record), "a result that was used lately is gone, or wrong"
        if found is None:
            return
        assert found.attempt not in self.damaged
        assert self._bytes(found.attempt) == self.truth[found.attempt], "a hit with other bytes"
        self._note_use(pipeline, key, found)

    def _note_use(self, pipeline: str, key: str, found: ReuseRecord) -> None:
        self.used[key] = self.now
        run = _Run(pipeline, f"r{len(self.runs)}", found.attempt, key, self.now)
        self.workspace.runs.write_run(RunRecord(pipeline=pipeline, run_id=run.run_id, started=self.now))
        self.runs.append(run)
        self._end(run, found.attempt, found.outputs["o"], "reused")
        COUNTS["reused"] += 1

    @precondition(lambda self: self.published)
    @rule(data=st.data(), what=st.sampled_from(["flip", "delete", "record"]))
    def damage(self, data: st.DataObject, what: str) -> None:
        """A disk or a person damages a result."""
        key = data.draw(st.sampled_from(sorted(self.published)))
        attempt = self.published[key].attempt
        if self._bytes(attempt) is None or self._bytes(attempt) != self.truth[attempt]:
            return
        COUNTS["damaged"] += 1
        if what == "record":
            place = f"mlpipe/reuse/{key[:2]}/{key}.json"
            body = self.store.datastore.read(place)
            if body is not None:
                self.store.datastore.replace(place, body[:-9])
                del self.published[key]
            return
        self.damaged.add(attempt)
        if what == "flip":
            self.store.datastore.replace(f"{attempt}/o", b"other")
        else:
            self.store.datastore.delete(f"{attempt}/o")

    @precondition(lambda self: any(run.outputs for run in self._kept()))
    @rule(data=st.data(), name=st.sampled_from(["one", "two"]))
    def pin(self, data: st.DataObject, name: str) -> None:
        """A person pins a run."""
        run = data.draw(st.sampled_from([run for run in self._kept() if run.outputs]))
        Pins(self.store.datastore).put(Pin(name, run.pipeline, run.run_id, tuple(sorted(run.outputs))))
        self.pins[name] = set(run.outputs)
        COUNTS["pinned"] += 1

    @rule(name=st.sampled_from(["one", "two"]))
    def unpin(self, name: str) -> None:
        """A person drops a pin."""
        assert Pins(self.store.datastore).remove(name) == (name in self.pins)
        self.pins.pop(name, None)

    @rule(hours=_HOURS)
    def advance(self, hours: int) -> None:
        """Time goes by; a collection that was under way is dead by now."""
        self.now += timedelta(hours=hours)
        self.pending = []

    @rule()
    def look(self) -> None:
        """A collection looks; it changes nothing."""
        before = self._everything()
        self.pending = list(collect(self.workspace, POLICY, now=self.now).items)
        assert self._everything() == before, "a dry run changed something"
        COUNTS["dry runs"] += 1

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        """The collection that looked some time ago does the first of its deeds, and perhaps dies then."""
        count = data.draw(st.integers(1, len(self.pending)))
        now, self.pending = self.pending[:count], self.pending[count:]
        for item in now:
            item.apply()
        COUNTS["deeds of an earlier look"] += count
        self._check()

    @rule(pipeline=_PIPELINES, key=_KEYS, hours=st.sampled_from([250, 1, 25]))
    def race(self, pipeline: str, key: str, hours: int) -> None:
        """Somebody uses a result between the look and the deeds of a collection."""
        self.advance(hours)
        report = collect(self.workspace, POLICY, now=self.now)
        self.reuse(pipeline, key)
        for item in report.items:
            item.apply()
        COUNTS["races"] += 1
        self._check()
        self.reuse(pipeline, key)

    @rule(pipeline=_PIPELINES, key=_KEYS, hours=st.sampled_from([250, 1, 25]))
    def late_use(self, pipeline: str, key: str, hours: int) -> None:
        """Somebody found a result just before its record went, and notes the use only now: it comes back."""
        self.advance(hours)
        report = collect(self.workspace, POLICY, now=self.now)
        marks, self.store.marks = self.store.marks, UseMarks(self.store.datastore, "elsewhere", lambda: self.now)
        found = self.store.find(key).record
        self.store.marks = marks
        for item in report.items:
            item.apply()
        if found is not None:
            self._note_use(pipeline, key, found)
            self._check()
            self.collect()
            COUNTS["late uses"] += 1
            self.reuse(pipeline, key)

    @rule()
    def collect(self) -> None:
        """A whole collection."""
        assert not collect(self.workspace, POLICY, delete=True, now=self.now).problems
        COUNTS["collections"] += 1
        self._check()

    def settle(self) -> None:
        """Wait long enough and collect: nothing is left but what somebody needs, and nothing is to be done."""
        self.pending = []
        for _ in range(4):
            self.now += timedelta(days=11)
            self.collect()
        needed = {path.rpartition("/")[2] for path in self._roots()}
        assert attempts(self.store) <= needed, "what nobody needs is still there"
        assert not collect(self.workspace, POLICY, delete=True, now=self.now).items, (
            "a collection does not come to rest"
        )
        for pipeline in ("p", "q"):
            assert len(self.workspace.runs.runs(pipeline)) <= max(POLICY.keep_runs or 0, POLICY.keep_last)
        COUNTS["settled"] += 1

    def _check(self) -> None:
        """What somebody needs is whole."""
        for attempt in self._roots() - self.damaged:
            assert self._bytes(attempt) == self.truth[attempt], f"{attempt} was needed"

    def _end(self, run: _Run, attempt: str, ref: DataRef, decision: Decision) -> None:
        record = StepRecord(
            pipeline=run.pipeline, run_id=run.run_id, step="s", decision=decision, key=run.key, outputs={"o": ref},
            started=self.now, ended=self.now,
        )  # fmt: skip
        self.workspace.runs.write_step(record)
        run.outputs, run.last = {attempt}, self.now
        self._close(run, "succeeded")

    def _close(self, run: _Run, state: str) -> None:
        run.ended = True
        if run.job is not None:
            ended = replaced(run.job, ended=state)
            self.workspace.runs.write_job(run.pipeline, run.run_id, "s", ended)

    def _open(self) -> list[_Run]:
        return [run for run in self.runs if not run.ended and self.now - run.last < ABANDONED]

    def _able(self) -> list[_Run]:
        """Return the open runs that can end well: nobody damaged their data after a crash."""
        return [run for run in self._open() if run.attempt not in self.damaged]

    def _kept(self) -> list[_Run]:
        kept = []
        for pipeline in ("p", "q"):
            mine = sorted(
                (run for run in self.runs if run.pipeline == pipeline),
                key=lambda run: (run.last, run.run_id),
                reverse=True,
            )
            kept += [
                run
                for rank, run in enumerate(mine)
                if rank < POLICY.keep_last or run.last >= self.now - POLICY.older_than
            ]
        return kept

    def _roots(self) -> set[str]:
        paths = {path for run in self._kept() for path in run.outputs} | {run.attempt for run in self._open()}
        return (paths | self.assets).union(*self.pins.values())

    def _alive(self, key: str, record: ReuseRecord) -> bool:
        fresh = self.used[key] >= self.now - POLICY.older_than
        kept = {path for run in self._kept() for path in run.outputs}
        return fresh or record.attempt in kept | self.assets

    def _ref(self, attempt: str) -> DataRef:
        content = self.workspace.datastore().summary(f"{attempt}/o")
        assert content is not None, "the data of an open job are gone"
        return DataRef(self.store.datastore.name, f"{attempt}/o", "uri_file", content)

    def _bytes(self, attempt: str) -> bytes | None:
        return self.store.datastore.read(f"{attempt}/o")

    def _everything(self) -> dict[str, bytes | None]:
        return {key: self.store.datastore.read(key) for key in self.store.datastore.keys("mlpipe/")}
