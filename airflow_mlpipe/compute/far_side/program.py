"""The far side as a program.

python3 mlpipe-<digest>.pyz launch [--watch PID START] [--stay] FOLDER
"""

from __future__ import annotations

from airflow_mlpipe.compute.far_side import agent, builder, launcher, store_job

_VERBS = {"agent": agent.main, "build": builder.main, "launch": launcher.main, "unpack": store_job.main}


def main(arguments: list[str]) -> None:
    """Run one verb with its arguments."""
    _VERBS[arguments[0]](arguments[1:])
