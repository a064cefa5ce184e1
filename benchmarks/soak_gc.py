"""A long soak of garbage collection: ``python benchmarks/soak_gc.py [--steps N]``, or ``make soak-gc``.

Random histories of steps, uses, damage, pins, crashes, the clock and two collections against plain dictionaries, on a
local disk and in memory. Prints how often each kind of event happened; the exit code is 1 at the first mismatch.
"""

from __future__ import annotations

import argparse
import sys
import unittest
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the package, and not its modules one by one

from airflow_mlpipe.testing.retention_histories import COUNTS, retention_histories
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

_LENGTH = 60
_STORES = {"local": {"type": "local", "path": "store"}, "memory": {"type": "memory"}}


def main() -> int:
    """Soak each store for half of the steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=24_000, help="steps of histories, over both stores")
    steps = parser.parse_args().steps
    for name, store in _STORES.items():
        if not _soak(store, max(1, steps // _LENGTH // len(_STORES))):
            print(f"{name}: MISMATCH")
            return 1
        print(f"{name}: 0 mismatches; so far {', '.join(f'{count} {event}' for event, count in COUNTS.items())}")
    print(f"events over both stores, without the checks: {sum(COUNTS.values())}")
    return 0


def _soak(store: dict[str, str], histories: int) -> bool:
    def make(folder: Path) -> Workspace:
        settings = {"datastores": {"workspaceblobstore": store}, "compute": {"local": {"type": "inline"}}}
        return workspace_from_mapping(settings, folder)

    case = retention_histories(make, examples=histories, steps=_LENGTH)
    return (
        unittest.TextTestRunner(verbosity=0).run(unittest.defaultTestLoader.loadTestsFromTestCase(case)).wasSuccessful()
    )


if __name__ == "__main__":
    sys.exit(main())
