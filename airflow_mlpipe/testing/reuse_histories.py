"""Random histories of a reuse store, compared with a dictionary.

Whatever is published, damaged, mended and replaced in whatever order, a look-up returns exactly the undamaged result
whose record lies there, or nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import TestCase

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from airflow_mlpipe.datastores.base import Datastore
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.reuse.store import ReuseStore
from airflow_mlpipe.testing.reuse_store import FILES, compute, damage

_KEYS = st.sampled_from([letter * 64 for letter in "abcd"])
_FILE = st.sampled_from([*(f"model/{name}" for name in FILES), "table"])
_HOW = st.sampled_from(["flip", "truncate", "empty", "delete"])
_WHERE = st.floats(0, 1, exclude_max=True)
_TABLE = st.sampled_from([b"", b"a,b\n", b"a,b\n1,2\n"])

Spoil = Callable[[Datastore, str, bytes], None]


def reuse_histories(
    make: Callable[[Path], Datastore], spoil: Spoil | None = None, examples: int = 12, steps: int = 25
) -> type[TestCase]:
    """Return a test case that tries random histories.

    :param make: gives a datastore with nothing in it, for a fresh folder.
    :param spoil: changes bytes in the store behind its back; by default an ordinary replace.
    :param examples: number of histories.
    :param steps: length of each.
    """

    class Histories(_Histories):
        def open(self, folder: Path) -> Datastore:
            return make(folder)

        def spoil(self, key: str, data: bytes) -> None:
            (spoil or _replace)(self.datastore, key, data)

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
    :ivar history: bytes of every record that was ever published, by key. An earlier one that somebody brings back is as
        good as the last one, if its outputs are whole.
    :ivar truth: every byte of outputs as it should be, by key of the datastore.
    """

    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.datastore = self.open(self.folder)
        self.store = ReuseStore(self.datastore)
        self.published: dict[str, ReuseRecord] = {}
        self.history: dict[str, dict[bytes, ReuseRecord]] = {}
        self.truth: dict[str, bytes] = {}

    def open(self, folder: Path) -> Datastore:
        raise AssertionError(folder)

    def spoil(self, key: str, data: bytes) -> None:
        raise AssertionError(key, data)

    def teardown(self) -> None:
        """Remove the folder of this history."""
        self._temporary.cleanup()

    @rule(key=_KEYS, table=_TABLE, replace=st.booleans())
    def publish(self, key: str, table: bytes, replace: bool) -> None:
        """A step ends well."""
        record = compute(self.store, self.folder / "scratch", key, table=table)
        expected = replace or self._expected(key) is None
        assert self.store.publish(record, replace) == expected
        if expected:
            self.published[key] = record
            for name in (*(f"model/{file}" for file in FILES), "table"):
                place = f"{record.attempt}/{name}"
                self.truth[place] = self.datastore.read(place) or b""
            stored = self.datastore.read(_record_place(key)) or b""
            self.history.setdefault(key, {})[stored] = record

    @rule(key=_KEYS)
    def find(self, key: str) -> None:
        """A step looks for its result."""
        found = self.store.find(key)
        assert found.record == self._expected(key)
        assert bool(found.problem) == (not found.record and self.datastore.read(_record_place(key)) is not None)

    @rule()
    def reopen(self) -> None:
        """Another process comes."""
        self.store = ReuseStore(self.datastore)

    @precondition(lambda self: self.published)
    @rule(data=st.data(), how=_HOW, where=_WHERE)
    def damage_a_record(self, data: st.DataObject, how: str, where: float) -> None:
        """A disk or a person damages a record."""
        self._damage(_record_place(self._any(data)), how, where)

    @precondition(lambda self: self.published)
    @rule(data=st.data(), name=_FILE, how=_HOW, where=_WHERE)
    def damage_a_file(self, data: st.DataObject, name: str, how: str, where: float) -> None:
        """A disk or a person damages an output."""
        self._damage(f"{self.published[self._any(data)].attempt}/{name}", how, where)

    @precondition(lambda self: len(self.published) > 1)
    @rule(data=st.data(), name=_FILE)
    def swap_files(self, data: st.DataObject, name: str) -> None:
        """Files of two results change places."""
        one, two = (f"{self.published[self._any(data)].attempt}/{name}" for _ in range(2))
        self._swap(one, two)

    @precondition(lambda self: len(self.published) > 1)
    @rule(data=st.data())
    def swap_records(self, data: st.DataObject) -> None:
        """Two records change places."""
        self._swap(_record_place(self._any(data)), _record_place(self._any(data)))

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def mend(self, data: st.DataObject) -> None:
        """Somebody restores a result from a backup."""
        key = self._any(data)
        record = self.published[key]
        (good,) = (stored for stored, known in self.history[key].items() if known == record)
        for place, whole in {**self._outputs(record), _record_place(key): good}.items():
            if self.datastore.read(place) != whole:
                self.datastore.replace(place, whole)
        assert self.store.find(key).record == record

    def _any(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.published)))

    def _outputs(self, record: ReuseRecord) -> dict[str, bytes]:
        return {place: data for place, data in self.truth.items() if place.startswith(f"{record.attempt}/")}

    def _expected(self, key: str) -> ReuseRecord | None:
        stored = self.datastore.read(_record_place(key))
        record = None if stored is None else self.history.get(key, {}).get(stored)
        if record is None:
            return None
        whole = all(self.datastore.read(place) == data for place, data in self._outputs(record).items())
        return record if whole else None

    def _damage(self, place: str, how: str, where: float) -> None:
        before = self.datastore.read(place)
        if how == "delete":
            self.datastore.delete(place)
        elif before is not None:
            self.spoil(place, damage(before, how, where))

    def _swap(self, one: str, two: str) -> None:
        first, second = self.datastore.read(one), self.datastore.read(two)
        if first is not None and second is not None:
            self.spoil(one, second)
            self.spoil(two, first)


def _record_place(key: str) -> str:
    return f"mlpipe/reuse/{key[:2]}/{key}.json"


def _replace(datastore: Datastore, key: str, data: bytes) -> None:
    datastore.replace(key, data)
