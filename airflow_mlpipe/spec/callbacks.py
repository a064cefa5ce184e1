"""Names of functions that Airflow shall call. Only the name is read; nothing is imported before it is called."""

from __future__ import annotations

import re
from typing import Any

from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.structure import describe

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")


def callback_name(value: Any, place: Place, faults: Faults) -> str | None:
    """Return ``module.function`` as it is written; ``None`` if nothing is, or no such name."""
    if value is None:
        return None
    if isinstance(value, str) and _NAME.fullmatch(value) and len(value) <= 250:
        return value
    rule = "the name of a function, such as mlpipe_callbacks.page: ASCII words joined by dots, never code"
    faults.add(place, "MLP030", f"must be {rule}; got {describe(value)}.")
    return None
