"""Random histories with garbage collection, on a local and a memory store."""

from __future__ import annotations

from pathlib import Path

from airflow_mlpipe.testing.retention_histories import retention_histories
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping


def local(folder: Path) -> Workspace:
    return workspace_from_mapping({"compute": {"local": {"type": "inline"}}}, folder)


def memory(folder: Path) -> Workspace:
    settings = {"datastores": {"workspaceblobstore": {"type": "memory"}}, "compute": {"local": {"type": "inline"}}}
    return workspace_from_mapping(settings, folder)


TestLocal = retention_histories(local, examples=6)
TestMemory = retention_histories(memory, examples=30)
