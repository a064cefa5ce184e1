"""A long soak of garbage collection: ``python benchmarks/soak_gc.py [--steps N]``, or ``make soak-gc``.

Random histories of steps of two clients, uses, damage, pins, crashes, the clock and two collections against plain
dictionaries, on a local disk and in memory, or on Azurite. Prints how often each kind of event happened; the exit code
is 1 at the first mismatch.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import unittest
from collections.abc import Callable
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the package, and not its modules one by one

from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.testing.retention_histories import COUNTS, retention_histories
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

_LENGTH = 60
_STEPS = {"here": 24_000, "azurite": 600}
Make = Callable[[Path], Workspace]


def main() -> int:
    """Soak each store for its share of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help=f"steps of histories, over all stores; default {_STEPS}")
    parser.add_argument("--store", choices=sorted(_STEPS), default="here", help="here: local and memory")
    options = parser.parse_args()
    steps = options.steps or _STEPS[options.store]
    if options.store == "here":
        stores: dict[str, Make] = {
            "local": partial(_open, {"type": "local", "path": "store"}),
            "memory": partial(_open, {"type": "memory"}),
        }
        return _soak_all(stores, steps)
    with tempfile.TemporaryDirectory() as folder, AzuriteServer(Path(folder)) as server:
        return _soak_all({"azurite": partial(_open_container, server)}, steps)


def _soak_all(stores: dict[str, Make], steps: int) -> int:
    for name, make in stores.items():
        if not _soak(make, max(1, steps // _LENGTH // len(stores))):
            print(f"{name}: MISMATCH")
            return 1
        events = ", ".join(f"{count} {event}" for event, count in COUNTS.items())
        print(f"{name}: 0 mismatches; so far {events}", flush=True)
    print(f"events over all stores, without the checks: {sum(COUNTS.values())}")
    return 0


def _open(store: dict[str, object], folder: Path) -> Workspace:
    settings = {"datastores": {"workspaceblobstore": store}, "compute": {"local": {"type": "inline"}}}
    return workspace_from_mapping(settings, folder)


def _open_container(server: AzuriteServer, folder: Path) -> Workspace:
    """Open the container of a folder, and make it the first time."""
    note = folder / "container"
    if not note.exists():
        note.write_text(server.make_container())
    return _open(server.settings(note.read_text(), {"account_key": Secret(server.key)}), folder)


def _soak(make: Make, histories: int) -> bool:
    case = retention_histories(make, examples=histories, steps=_LENGTH)
    return (
        unittest.TextTestRunner(verbosity=0).run(unittest.defaultTestLoader.loadTestsFromTestCase(case)).wasSuccessful()
    )


if __name__ == "__main__":
    sys.exit(main())
