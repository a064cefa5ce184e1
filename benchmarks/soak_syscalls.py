"""Publish, restore and submit on this machine, killed at every system call: ``make soak-syscalls``. Needs strace.

After each kill: no half output under its name, no hit with other bytes, no second job, and the next run succeeds.
Prints one line of JSON for each of the three; the exit code is 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the package, and not its modules one by one

from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.reuse.store import ReuseStore
from airflow_mlpipe.testing.kills import Call, calls_of, killed_at
from airflow_mlpipe.testing.reuse_store import FILES, KEY, compute
from benchmarks.submitting import Submit

_TABLE = b"a,b\n"


class Publish:
    """A step ends well: outputs, manifests, record, note."""

    name = "publish"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = _store(folder)

    def work(self) -> None:
        """What is killed."""
        store = _store(self.folder)
        store.publish(compute(store, self.folder / "scratch"))
        store.remember("p", "s", KEY)

    def left(self) -> str:
        """Say what the kill left: ``none``, ``whole``, or a broken promise."""
        found = self.store.find(KEY)
        if found.problem:
            return f"torn: {found.problem}"
        if found.record and not _same(self.folder / "root" / found.record.attempt):
            return "false hit"
        attempts = (self.folder / "root" / "mlpipe" / "attempts").glob("*")
        if not all(_same(attempt, partly=True) for attempt in attempts):
            return "torn: half an output under its name"
        return "whole" if found.record else "none"

    def again(self) -> bool:
        """Do it once more; False if that does not give a result."""
        before = self.store.find(KEY).record
        published = self.store.publish(compute(self.store, self.folder / "again"))
        after = self.store.find(KEY).record
        return published != bool(before) and after is not None and _same(self.folder / "root" / after.attempt)


class Restore:
    """The outputs of a result are copied to where a step wants them."""

    name = "restore"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = _store(folder)
        self.record = compute(self.store, folder / "scratch")
        self.store.publish(self.record)

    def work(self) -> None:
        """What is killed."""
        store = _store(self.folder)
        found = store.find(KEY)
        for port, output in (found.record.outputs if found.record else {}).items():
            store.datastore.download(output.path, self.folder / "restored" / port)  # type: ignore[attr-defined]

    def left(self) -> str:
        """Say what the kill left: ``none``, ``whole``, or a broken promise."""
        if self.store.find(KEY).record != self.record:
            return "false hit"
        restored = self.folder / "restored"
        if not _same(restored, partly=True):
            return "torn: half a copy under its name"
        return "whole" if _same(restored) else "none"

    def again(self) -> bool:
        """Copy what is missing; False if that does not give a whole copy."""
        for port, output in self.record.outputs.items():
            if not (self.folder / "restored" / port).exists():
                self.store.datastore.download(output.path, self.folder / "restored" / port)  # type: ignore[attr-defined]
        return _same(self.folder / "restored")


Case = Publish | Restore | Submit
_CASES = {case.name: case for case in (Publish, Restore, Submit)}


def soak(case: type[Case], folder: Path, points: int | None) -> dict[str, object]:
    """Kill at every call, or at some calls spread evenly over all; return what came of it.

    :param points: how many; ``None`` for every one.
    """
    started = time.monotonic()
    _fresh(case, folder, "warm").work()  # what is imported late is imported now
    calls = calls_of(_fresh(case, folder, "look").work)
    outcomes: Counter[str] = Counter()
    broken: list[str] = []
    for number, call in enumerate(_spread(calls, points)):
        trial = _fresh(case, folder, str(number))
        killed = killed_at(call, trial.work)
        outcome = trial.left()
        outcomes[outcome if killed else "survived"] += 1
        if outcome not in ("none", "whole") or not trial.again() or (not killed and outcome != "whole"):
            broken.append(f"{call.name} {call.number}: {outcome}")
        shutil.rmtree(trial.folder)
    return {
        "case": case.name,
        "calls": len(calls),
        "killed": outcomes.total() - outcomes["survived"],
        **outcomes,
        "broken": broken,
        "seconds": round(time.monotonic() - started, 1),
    }


def main(arguments: list[str]) -> int:
    """Print one line of JSON for each case; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, help="kill at so many calls, spread evenly; default: at every one")
    parser.add_argument("--case", choices=_CASES, action="append", help="default: all")
    options = parser.parse_args(arguments)
    good = True
    for case in (_CASES[name] for name in options.case or _CASES):
        with tempfile.TemporaryDirectory(prefix="soak-syscalls-") as folder:
            result = soak(case, Path(folder), options.points)
        print(json.dumps(result), flush=True)
        good &= not result["broken"]
    return 0 if good else 1


def _spread(calls: list[Call], points: int | None) -> list[Call]:
    if points is None or points >= len(calls):
        return calls
    return [calls[place * (len(calls) - 1) // (points - 1)] for place in range(points)]


def _fresh(case: type[Case], folder: Path, name: str) -> Case:
    (folder / name).mkdir()
    return case(folder / name)


def _store(folder: Path) -> ReuseStore:
    return ReuseStore(LocalDatastore("store", folder / "root"))


def _same(folder: Path, *, partly: bool = False) -> bool:
    """Tell whether a folder holds both outputs, exactly; or what there is of them.

    :param partly: an output may be missing as a whole.
    """
    model, table = folder / "model", folder / "table"
    files = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    there = (files == FILES and scan(model) is not None, table.is_file() and table.read_bytes() == _TABLE)
    if partly:
        return all(good or not place.exists() for good, place in zip(there, (model, table), strict=True))
    return all(there)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
