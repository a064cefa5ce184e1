"""Killed at every single call that touches the file system, publishing leaves a whole result or none."""

import json
import subprocess
import sys
from pathlib import Path

_PUBLISHER = """
import json, os, pathlib, signal, sys
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.reuse.store import ReuseStore
from airflow_mlpipe.testing.reuse_store import FILES, KEY, compute

CALLS = {"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.scandir"}
folder = pathlib.Path(sys.argv[1])

def killed_at(number, root):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    seen = 0
    def count(event, arguments):
        nonlocal seen
        if event in CALLS:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)
    store = ReuseStore(LocalDatastore("store", root))
    sys.addaudithook(count)
    record = compute(store, folder / f"scratch-{number}")
    store.publish(record)
    store.remember("p", "s", KEY)
    os._exit(0)

outcomes, number, alive = [], 0, False
while not alive:
    number += 1
    root = folder / f"root-{number}"
    alive = not killed_at(number, root)
    store = ReuseStore(LocalDatastore("store", root))
    found = store.find(KEY)
    if found.record:
        outcome = "whole"
        for name, data in FILES.items():
            if (root / found.record.attempt / "model" / name).read_bytes() != data:
                outcome = "torn"
    else:
        outcome = f"none{found.problem}"
    for port in ("model", "table"):
        for place in root.glob(f"mlpipe/attempts/*/{port}"):
            files = sum(path.is_file() for path in place.rglob("*")) if port == "model" else len(place.read_bytes())
            if files != {"model": len(FILES), "table": 4}[port]:
                outcome = "half a copy"
    again = compute(store, folder / f"again-{number}")
    published = store.publish(again)
    if published == bool(found.record) or not store.find(KEY).record:
        outcome = "stuck"
    outcomes.append(outcome)
print(json.dumps(outcomes))
"""


def test_a_kill_at_every_call_leaves_all_or_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _PUBLISHER, str(tmp_path)], capture_output=True, text=True, check=True)
    outcomes = json.loads(done.stdout)
    assert len(outcomes) > 60
    turn = outcomes.index("whole")
    assert outcomes[:turn] == ["none"] * turn
    assert outcomes[turn:] == ["whole"] * (len(outcomes) - turn)
