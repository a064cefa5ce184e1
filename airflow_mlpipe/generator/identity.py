"""The hash of a spec in the header of its DAG file: of what the pipeline says, not of how its YAML is laid out."""

from __future__ import annotations

import hashlib
import json

from airflow_mlpipe.frozen import said
from airflow_mlpipe.spec.model import PipelineSpec

_LAYOUT = frozenset({"source", "base", "lines", "files", "warnings"})


def spec_hash(spec: PipelineSpec) -> str:
    """Return ``sha256:<hex>`` of the lowered pipeline; comments, key order and line numbers do not count.

    What is at its default is left out, so that a key that a later version learns changes no hash.
    """
    content = said(spec, without=_LAYOUT)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
