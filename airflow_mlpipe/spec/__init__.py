"""What the author wrote: pipeline files in Azure ML CLI v2's YAML, read into frozen values.

Importing this package costs nothing: generated DAG files import :mod:`airflow_mlpipe.spec.step` from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mlpipe.spec.looks import Looks
    from airflow_mlpipe.spec.model import PipelineSpec

__all__ = ["json_schema", "load_pipeline"]


def load_pipeline(path: str | Path, looks: Looks | None = None) -> PipelineSpec:
    """Read a pipeline file and its components.

    :param path: the YAML file; its name as given appears in messages.
    :param looks: notes which files and folders the answer depends on.
    :raises SpecError: with every fault at once, by file and position.
    """
    from airflow_mlpipe.spec.loading import load_pipeline as load  # noqa: PLC0415 - keeps the DAG parse free of YAML

    return load(path, looks)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a pipeline file, for editors."""
    from airflow_mlpipe.spec.schema import json_schema as build  # noqa: PLC0415 - keeps the DAG parse free of YAML

    return build()
