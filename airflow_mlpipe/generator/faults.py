"""Faults that only show when a pipeline becomes a DAG (MLP151 to MLP159), in the form of those of the spec."""

from __future__ import annotations

from airflow_mlpipe.spec.diagnostics import Fault
from airflow_mlpipe.spec.model import PipelineSpec


def fault(spec: PipelineSpec, path: str, code: str, message: str) -> Fault:
    """Return an error that concerns a pipeline as a whole.

    :param path: keys from the top of the file, ``airflow.dag_id``.
    """
    return Fault(str(spec.source), 1, 1, "error", code, path, message)
