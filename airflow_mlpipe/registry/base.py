"""What the registry keeps of a version of a dataset or model."""

from datetime import datetime
from typing import Any, Literal

from msgspec import field

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.frozen import Kept

AssetKind = Literal["model", "dataset"]


class AssetVersion(Kept, frozen=True, kw_only=True):
    """One version of a named dataset or model; immutable.

    :param version: counts from 1.
    :param data: where the content lies, and its digest.
    :param tags: free words of the registering step.
    :param lineage: ``pipeline``, ``run_id``, ``step``, ``key`` and ``inputs`` (port to digest or ``name:version``).
    :param metrics: the latest value of every metric of the registering step.
    """

    kind: AssetKind
    name: str
    version: int
    data: DataRef
    tags: dict[str, str] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    nonce: str
    created: datetime
