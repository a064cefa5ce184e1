"""The reuse record: which outputs belong to which identity."""

from datetime import datetime
from typing import Any

from msgspec import field

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.frozen import Strict


class ReuseRecord(Strict, frozen=True, kw_only=True):
    """Outputs of a step that ended well, under the key of its fingerprint. Written once, last, and never changed.

    :param schema_version: of this document; another version is a miss.
    :param key: the fingerprint's key.
    :param nonce: tells our own success from another writer's.
    :param parts: the fingerprint's parts, for explanations.
    :param attempt: prefix in the store under which the outputs lie.
    :param outputs: port to data; an optional output that was left empty is absent.
    :param metrics: what the step logged.
    :param registered: port to ``name:version``, the registrations that a reuse replays.
    :param pipeline, run_id, step: who computed it.
    :param seconds: how long it took.
    """

    schema_version: int = 1
    key: str
    nonce: str
    parts: dict[str, Any]
    attempt: str
    outputs: dict[str, DataRef]
    metrics: list[dict[str, Any]] = field(default_factory=list)
    registered: dict[str, str] = field(default_factory=dict)
    pipeline: str
    run_id: str
    step: str
    seconds: float
    created: datetime
