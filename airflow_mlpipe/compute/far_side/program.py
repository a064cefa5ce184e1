"""The far side as a program.

python3 mlpipe-<digest>.pyz launch [--watch PID START] [--stay] FOLDER

Each verb loads what it needs and no more: a launcher starts with every job, and the rest would double its time.
"""

from __future__ import annotations

from importlib import import_module

_VERBS = {"agent": "agent", "build": "builder", "launch": "launcher", "unpack": "store_job"}


def main(arguments: list[str]) -> None:
    """Run one verb with its arguments."""
    import_module("airflow_mlpipe.compute.far_side." + _VERBS[arguments[0]]).main(arguments[1:])
