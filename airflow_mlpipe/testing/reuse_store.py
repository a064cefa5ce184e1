# ruff: noqa: D102 - the name of a test says what it asks
"""The contract of the reuse store on any datastore as tests: a hit is never wrong, and damage is a miss.

class TestMyReuse(ReuseStoreContract):
    def make(self, tmp_path):
        return MyDatastore("mine", tmp_path / "root")

TestMyHistories = reuse_histories(lambda folder: MyDatastore("mine", folder / "root"))
"""

from __future__ import annotations

import secrets
import threading
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.datastores.base import Datastore
from airflow_mlpipe.errors import StoreError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.reuse.store import ReuseStore
from airflow_mlpipe.snapshot import take_snapshot

KEY = "ab" * 32
OTHER_KEY = "cd" * 32
FILES = {"model/weights.bin": b"\0\1\2" * 500, "model/empty": b"", "notes.txt": b"good"}
"""What :func:`compute` writes to a folder output, if nothing else is asked for."""


def compute(
    store: ReuseStore, scratch: Path, key: str = KEY, files: dict[str, bytes] | None = None, table: bytes = b"a,b\n"
) -> ReuseRecord:
    """Do what a step does: write a folder and a file output under a fresh attempt; return the record to publish."""
    attempt = store.new_attempt()
    source = scratch / secrets.token_hex(8)
    for name, data in (FILES if files is None else files).items():
        (source / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (source / "model" / name).write_bytes(data)
    (source / "table").write_bytes(table)
    outputs = {}
    for port, kind in (("model", "uri_folder"), ("table", "uri_file")):
        path = store.output_path(attempt, port)
        manifest = store.datastore.upload(source / port, path)  # type: ignore[attr-defined]  # the tests hold a whole datastore
        store.write_manifest(attempt, port, manifest)
        outputs[port] = DataRef(store.datastore.name, path, kind, manifest.summary)
    return ReuseRecord(
        key=key,
        nonce=secrets.token_hex(16),
        parts={"code": {"train.py": "blake3:1"}},
        attempt=attempt,
        outputs=outputs,
        metrics=[{"name": "auc", "value": 0.5, "step": None}],
        registered={"model": "flights:3"},
        pipeline="p",
        run_id="r",
        step="s",
        seconds=1.5,
        created=datetime.now(timezone.utc),
    )


def damage(data: bytes, how: str, where: float = 0.5) -> bytes:
    """Return damaged bytes: ``flip`` one bit, ``truncate``, both at that part of the length, or ``empty``."""
    middle = int(len(data) * where)
    if how == "flip":
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else b"\1"
    return data[:middle] if how == "truncate" else b""


class ReuseStoreContract:
    """Inherit and give :meth:`make`."""

    @abstractmethod
    def make(self, tmp_path: Path) -> Datastore:
        """Return a datastore with nothing in it."""

    def spoil(self, datastore: Datastore, key: str, data: bytes) -> None:
        """Change bytes in the store behind everybody's back; override to do it more nastily."""
        datastore.replace(key, data)

    @pytest.fixture
    def datastore(self, tmp_path: Path) -> Datastore:
        """The datastore under test."""
        return self.make(tmp_path)

    @pytest.fixture
    def store(self, datastore: Datastore) -> ReuseStore:
        """The reuse store under test."""
        return ReuseStore(datastore)

    def test_nothing_is_found_at_first(self, store: ReuseStore) -> None:
        found = store.find(KEY)
        assert (found.record, found.problem) == (None, "")
        assert store.nearest("p", "s") is None
        assert store.code_text("blake3:" + "0" * 64) is None

    def test_what_is_published_is_found(self, store: ReuseStore, tmp_path: Path) -> None:
        record = compute(store, tmp_path)
        assert store.find(KEY).record is None
        assert store.publish(record)
        assert store.find(KEY).record == record
        assert store.find(OTHER_KEY).record is None
        assert ReuseStore(store.datastore).find(KEY).record == record
        assert ReuseStore(store.datastore, "elsewhere").find(KEY).record is None

    def test_the_first_result_stays(self, store: ReuseStore, tmp_path: Path) -> None:
        first, second = compute(store, tmp_path), compute(store, tmp_path, table=b"other")
        assert store.publish(first)
        assert store.publish(first)
        assert not store.publish(second)
        assert store.find(KEY).record == first
        assert store.publish(second, replace=True)
        assert store.find(KEY).record == second

    def test_attempts_are_fresh_and_sort_by_time(self, store: ReuseStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            attempts = list(pool.map(lambda _number: store.new_attempt(), range(200)))
        assert len(set(attempts)) == 200
        earlier = store.new_attempt()
        assert max(attempts) < store.new_attempt()
        assert earlier.startswith("mlpipe/attempts/")

    @pytest.mark.parametrize("how", ["flip", "truncate", "empty"])
    def test_a_damaged_record_is_a_miss_and_is_replaced(
        self, store: ReuseStore, datastore: Datastore, tmp_path: Path, how: str
    ) -> None:
        store.publish(compute(store, tmp_path))
        place = f"mlpipe/reuse/ab/{KEY}.json"
        self.spoil(datastore, place, damage(datastore.read(place) or b"", how))
        found = store.find(KEY)
        assert found.record is None
        assert "record was damaged" in found.problem
        again = compute(store, tmp_path)
        assert store.publish(again)
        assert store.find(KEY).record == again

    def test_every_single_bit_of_a_record_counts(self, store: ReuseStore, datastore: Datastore, tmp_path: Path) -> None:
        record = compute(store, tmp_path)
        store.publish(record)
        place = f"mlpipe/reuse/ab/{KEY}.json"
        good = datastore.read(place) or b""
        for position in range(0, len(good), 7):
            datastore.replace(place, good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
            assert store.find(KEY).record is None
        datastore.replace(place, good)
        assert store.find(KEY).record == record

    def test_a_record_under_another_key_is_a_miss(
        self, store: ReuseStore, datastore: Datastore, tmp_path: Path
    ) -> None:
        store.publish(compute(store, tmp_path))
        datastore.replace(f"mlpipe/reuse/cd/{OTHER_KEY}.json", datastore.read(f"mlpipe/reuse/ab/{KEY}.json") or b"")
        assert store.find(OTHER_KEY).record is None
        assert "another key" in store.find(OTHER_KEY).problem

    def test_a_record_of_another_schema_is_a_miss(self, store: ReuseStore, tmp_path: Path) -> None:
        store.publish(replaced(compute(store, tmp_path), schema_version=99))
        assert store.find(KEY).record is None
        assert "another version" in store.find(KEY).problem

    @pytest.mark.parametrize("how", ["flip", "truncate", "empty", "delete"])
    @pytest.mark.parametrize("name", ["model/model/weights.bin", "model/model/empty", "model/notes.txt", "table"])
    def test_a_damaged_output_is_a_miss(
        self, store: ReuseStore, datastore: Datastore, tmp_path: Path, name: str, how: str
    ) -> None:
        record = compute(store, tmp_path)
        store.publish(record)
        key = f"{record.attempt}/{name}"
        before = datastore.read(key)
        assert before is not None
        if how == "delete":
            datastore.delete(key)
        elif damage(before, how) == before:
            self.spoil(datastore, key, b"no longer empty")
        else:
            self.spoil(datastore, key, damage(before, how))
        found = store.find(KEY)
        assert found.record is None
        port, _, inner = name.partition("/")
        assert f"output {port} was" in found.problem
        assert inner in found.problem
        again = compute(store, tmp_path)
        assert store.publish(again)
        assert store.find(KEY).record == again

    @pytest.mark.parametrize("how", ["flip", "truncate", "empty", "delete", "swap"])
    def test_no_damage_to_any_file_of_an_entry_is_reused(
        self, store: ReuseStore, datastore: Datastore, tmp_path: Path, how: str
    ) -> None:
        files = {name: data + b"other" for name, data in FILES.items()}
        one, two = compute(store, tmp_path), compute(store, tmp_path, OTHER_KEY, files, b"c,d\n")
        store.publish(one)
        store.publish(two)
        whole = {key: datastore.read(key) or b"" for key in datastore.keys("mlpipe/")}
        names = {"record": f"mlpipe/reuse/ab/{KEY}.json"}
        names |= {key.removeprefix(one.attempt): key for key in whole if key.startswith(f"{one.attempt}/")}
        assert len(names) == 1 + 2 + len(FILES) + 1, "a record, two manifests, the files of two outputs"
        for name, key in names.items():
            other = f"mlpipe/reuse/cd/{OTHER_KEY}.json" if name == "record" else two.attempt + name
            changes = {key: whole[other], other: whole[key]} if how == "swap" else {key: damage(whole[key], how)}
            if how == "delete":
                assert datastore.delete(key)
            for place, data in changes.items() if how != "delete" else ():
                if data != whole[place]:
                    self.spoil(datastore, place, data)
            self.check_damage(
                store, {KEY: one, OTHER_KEY: two}, name, hurt=how == "delete" or changes[key] != whole[key]
            )
            for place in changes:
                datastore.replace(place, whole[place])
            assert (store.find(KEY).record, store.find(OTHER_KEY).record) == (one, two)

    def check_damage(self, store: ReuseStore, records: dict[str, ReuseRecord], name: str, *, hurt: bool) -> None:
        """Look at what is found; a manifest explains damage and proves nothing, so its own damage does not matter."""
        found = {key: store.find(key).record for key in records}
        assert found[KEY] in ((None,) if hurt and not name.endswith(".manifest.json") else (records[KEY],))
        assert found[OTHER_KEY] in (None, records[OTHER_KEY])

    def test_a_missing_port_says_so(self, store: ReuseStore, datastore: Datastore, tmp_path: Path) -> None:
        record = compute(store, tmp_path)
        store.publish(record)
        datastore.remove(f"{record.attempt}/model")
        assert store.find(KEY).problem == "output model was deleted"

    def test_a_new_file_in_an_output_is_a_miss(self, store: ReuseStore, datastore: Datastore, tmp_path: Path) -> None:
        record = compute(store, tmp_path)
        store.publish(record)
        datastore.replace(f"{record.attempt}/model/intruder", b"")
        assert store.find(KEY).problem == "output model was damaged: 1 of 4 files (intruder is new)"

    def test_outputs_that_changed_places_are_a_miss(
        self, store: ReuseStore, datastore: Datastore, tmp_path: Path
    ) -> None:
        one = compute(store, tmp_path)
        two = compute(store, tmp_path, OTHER_KEY, {"notes.txt": b"evil"}, b"c,d\n")
        store.publish(one)
        store.publish(two)
        tables = [datastore.read(f"{record.attempt}/table") or b"" for record in (one, two)]
        for record, table in zip((two, one), tables, strict=True):
            datastore.replace(f"{record.attempt}/table", table)
        assert store.find(KEY).problem == "output table was damaged: its bytes differ"
        assert store.find(OTHER_KEY).record is None

    def test_damage_is_told_without_a_manifest_too(
        self, store: ReuseStore, datastore: Datastore, tmp_path: Path
    ) -> None:
        record = compute(store, tmp_path)
        store.publish(record)
        datastore.replace(f"{record.attempt}/model.manifest.json", b"{")
        assert store.read_manifest(record.attempt, "model") is None
        assert store.find(KEY).record == record
        datastore.delete(f"{record.attempt}/model/notes.txt")
        assert store.find(KEY).problem == (
            "output model was damaged: 3 files with 1504 bytes were written, 2 files with 1500 bytes are there"
        )

    @pytest.mark.parametrize(
        ("datastore_name", "path", "said"),
        [
            ("elsewhere", "{attempt}/model", "datastore elsewhere"),
            (None, "mlpipe/reuse", "outside of its attempt"),
            (None, "{attempt}/../../reuse", "outside of its attempt"),
            (None, "{attempt}", "outside of its attempt"),
            (None, "{attempt}2/model", "outside of its attempt"),
            (None, "/etc/passwd", "outside of its attempt"),
        ],
    )
    def test_foreign_outputs_are_refused(
        self, store: ReuseStore, tmp_path: Path, datastore_name: str | None, path: str, said: str
    ) -> None:
        record = compute(store, tmp_path)
        output = record.outputs["model"]
        foreign = DataRef(
            datastore_name or output.datastore, path.format(attempt=record.attempt), output.type, output.content
        )
        with pytest.raises(StoreError, match=said):
            store.publish(replaced(record, outputs={"model": foreign}))
        assert store.find(KEY).record is None

    def test_an_attempt_elsewhere_is_refused(self, store: ReuseStore, tmp_path: Path) -> None:
        record = compute(store, tmp_path)
        with pytest.raises(StoreError, match="outside of its attempt"):
            store.publish(replaced(record, attempt="mlpipe"))

    def test_the_nearest_record_is_a_hint(self, store: ReuseStore, datastore: Datastore, tmp_path: Path) -> None:
        record = compute(store, tmp_path)
        store.publish(record)
        store.remember("p", "odd/step name", KEY)
        assert store.nearest("p", "odd/step name") == record
        assert store.nearest("p", "other") is None
        datastore.remove(record.attempt)
        assert store.nearest("p", "odd/step name") == record
        (hint,) = datastore.keys("mlpipe/last/")
        for damaged in (b"", b"{", b"[]", b"null", b'{"key": 7}', b"\xff", b'{"key": ""}', b'{"key": "../../x"}'):
            datastore.replace(hint, damaged)
            assert store.nearest("p", "odd/step name") is None
        store.remember("p", "odd/step name", OTHER_KEY)
        assert store.nearest("p", "odd/step name") is None

    def test_source_texts_are_kept_by_content(self, store: ReuseStore, datastore: Datastore, tmp_path: Path) -> None:
        source = tmp_path / "src"
        source.mkdir()
        (source / "train.py").write_text("print('ä')\r\n", newline="")
        (source / "run.sh").write_text("#!/bin/sh\n")
        (source / "run.sh").chmod(0o755)
        (source / "link").symlink_to("train.py")
        (source / "image.png").write_bytes(b"\x89PNG\0\xff")
        (source / "huge.txt").write_text("x" * (1 << 20) + "y")
        snapshot = take_snapshot(source)
        store.keep_code(snapshot)
        names = {path: store.code_text(identity) for path, identity in snapshot.identity().items()}
        assert names == {
            "train.py": "print('ä')\r\n",
            "run.sh": "#!/bin/sh\n",
            "link": None,
            "image.png": None,
            "huge.txt": None,
        }
        kept = list(datastore.keys("mlpipe/code/"))
        assert len(kept) == 3
        store.keep_code(take_snapshot(source))
        assert list(datastore.keys("mlpipe/code/")) == kept

    @pytest.mark.parametrize(
        "digest", ["", "blake3:", "blake3:../../x", "sha256:" + "0" * 64, "-> target", "x blake3:zz"]
    )
    def test_odd_digests_have_no_text(self, store: ReuseStore, digest: str) -> None:
        assert store.code_text(digest) is None

    def test_a_damaged_source_text_is_not_shown(self, store: ReuseStore, datastore: Datastore, tmp_path: Path) -> None:
        (tmp_path / "src").mkdir()
        (tmp_path / "src" / "a.py").write_text("a = 1\n")
        snapshot = take_snapshot(tmp_path / "src")
        store.keep_code(snapshot)
        identity = snapshot.identity()["a.py"]
        (place,) = [key for key in datastore.keys("mlpipe/code/") if "snapshots" not in key]
        self.spoil(datastore, place, b"a = 2\n")
        assert store.code_text(identity) is None

    def test_racing_publishers_agree(self, store: ReuseStore, tmp_path: Path) -> None:
        racers = 12
        records = [compute(store, tmp_path, table=f"{number}\n".encode()) for number in range(racers)]
        gate = threading.Barrier(racers)

        def publish(record: ReuseRecord) -> bool:
            gate.wait()
            return store.publish(record)

        with ThreadPoolExecutor(racers) as pool:
            won = list(pool.map(publish, records))
        assert won.count(True) == 1
        assert store.find(KEY).record == records[won.index(True)]
