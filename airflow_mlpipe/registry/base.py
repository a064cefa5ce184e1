"""What the registry keeps of a version of a dataset or model."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from airflow_mlpipe.content import DataRef

AssetKind = Literal["model", "dataset"]


class AssetVersion(BaseModel):
    """One version of a named dataset or model; immutable.

    :param version: counts from 1.
    :param data: where the content lies, and its digest.
    :param tags: free words of the registering step.
    :param lineage: ``pipeline``, ``run_id``, ``step``, ``key`` and ``inputs`` (port to digest or ``name:version``).
    :param metrics: the latest value of every metric of the registering step.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    kind: AssetKind
    name: str
    version: int
    data: DataRef
    tags: dict[str, str] = Field(default_factory=dict)
    lineage: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    nonce: str
    created: datetime
