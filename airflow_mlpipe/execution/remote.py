"""What a job's own machine moves by itself: where the target can and the store hands on a right that is limited."""

from __future__ import annotations

from airflow_mlpipe.compute.base import ComputeTarget
from airflow_mlpipe.content.remote import RemoteData
from airflow_mlpipe.datastores.base import NodeAccess
from airflow_mlpipe.execution.inputs import ResolvedInput
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.workspace import Workspace

_DAY = 86400.0
"""Seconds that a job may wait to begin, and seconds that it may take if it has no time limit."""


def input_right(workspace: Workspace, target: ComputeTarget, step: Step, item: ResolvedInput) -> RemoteData | None:
    """Return the right to read an input; ``None`` if the worker has to fetch it."""
    if item.datastore is None or not target.capabilities.moves_data:
        return None
    store = workspace.datastore(item.datastore)
    return store.grant_read(item.path, item.include, _seconds(step)) if isinstance(store, NodeAccess) else None


def output_right(workspace: Workspace, target: ComputeTarget, step: Step, port: str, path: str) -> RemoteData | None:
    """Return the right to create an output in the default datastore; ``None`` if the worker has to send it."""
    store = workspace.datastore()
    if not target.capabilities.moves_data or not isinstance(store, NodeAccess):
        return None
    return store.grant_create(path, _seconds(step), is_file=step.outputs[port].type == "uri_file")


def _seconds(step: Step) -> float:
    return (step.timeout or _DAY) + _DAY
