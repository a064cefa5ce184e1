"""Faults that only show when a pipeline becomes a DAG (MLP150 to MLP159), in the form of those of the spec."""

from __future__ import annotations

from airflow_mlpipe.spec.diagnostics import Fault
from airflow_mlpipe.spec.model import PipelineSpec


def fault(spec: PipelineSpec, path: str, code: str, message: str) -> Fault:
    """Return an error at a pipeline; a path below ``jobs`` points at the job's line.

    :param path: keys from the top of the file, ``inputs.reuse``.
    """
    keys = path.split(".", 2)
    line = spec.lines.get(keys[1], 1) if keys[0] == "jobs" and len(keys) > 1 else 1
    return Fault(str(spec.source), line, 1, "error", code, path, message)
