"""A process that is killed while it writes leaves nothing half-visible."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.datastores.local import LocalDatastore

ROUNDS = 16
_WRITER = """
import pathlib, sys
from airflow_mlpipe.datastores.local import LocalDatastore
folder, turn = pathlib.Path(sys.argv[1]), sys.argv[2]
store = LocalDatastore("store", folder / "root")
for number in range(1_000_000):
    store.create(f"records/{turn}/{number}", str(number).encode() * 20_000)
    store.replace("latest", str(number % 10).encode() * 200_000)
    store.upload(folder / "source", f"data/{turn}/{number}")
    store.upload(folder / "source" / "big", f"files/{turn}/{number}")
    if number % 3 == 2:
        store.remove(f"data/{turn}/{number - 2}")
    if number == 0:
        print("ready", flush=True)
"""


def test_a_kill_leaves_whole_things_only(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub" / "empty").mkdir(parents=True)
    (source / "big").write_bytes(os.urandom(1_500_000))
    for number in range(20):
        (source / "sub" / f"{number}").write_bytes(os.urandom(number * 100))
    whole, single = scan(source), scan(source / "big")
    assert whole
    assert single
    store = LocalDatastore("store", tmp_path / "root")
    chance = random.Random(20130301)
    written = 0
    for turn in range(ROUNDS):
        _kill_a_writer(tmp_path, str(turn), chance.uniform(0.002, 0.08))
        for key in store.keys(f"records/{turn}/"):
            assert store.read(key) == key.rpartition("/")[2].encode() * 20_000
            written += 1
        for path in (store.root / "data" / str(turn)).glob("*"):
            assert scan(path) == whole
            written += 1
        for path in (store.root / "files" / str(turn)).glob("*"):
            assert (scan(path) or whole).summary == single.summary
            written += 1
        latest = store.read("latest")
        assert latest is None or (len(latest) == 200_000 and len(set(latest)) == 1)
    assert written >= 3 * ROUNDS
    assert store.upload(source, "after") == whole


def _kill_a_writer(folder: Path, turn: str, after: float) -> None:
    command = [sys.executable, "-c", _WRITER, str(folder), turn]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
        time.sleep(after)
        assert writer.poll() is None
        writer.kill()
