"""16 processes create one record at once, 200 times: ``make soak-race``. Exactly one of them wins each time.

Prints one line of JSON; the exit code is 1 if it was ever another number.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the package, and not its modules one by one

from airflow_mlpipe.testing.record_storage import race_processes
from benchmarks.soak_single_flight import store_settings


def main(arguments: list[str]) -> int:
    """Race, and say how often how many won."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--store", choices=("local", "azurite"), default="local")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-race-") as name, store_settings(options.store, Path(name)) as store:
        winners = Counter(race_processes(store, Path(name), options.processes, options.rounds))
    result = {"store": options.store, "processes": options.processes, "rounds": winners.total()}
    seconds = round(time.monotonic() - started, 1)
    print(json.dumps({**result, "rounds by winners": winners, "seconds": seconds}), flush=True)
    return 0 if winners == {1: options.rounds} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
