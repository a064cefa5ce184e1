"""Checking what a workspace says of a compute target."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from airflow_mlpipe.errors import ConfigError


def check_keys(name: str, config: Mapping[str, Any], known: set[str]) -> None:
    """Refuse keys that a compute target does not know.

    :raises ConfigError: naming the key and the closest known one.
    """
    for key in sorted(map(str, set(config) - known)):
        close = difflib.get_close_matches(key, sorted(known), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"compute {name}: unknown key {key!r}. Known: {', '.join(sorted(known))}.{hint}")
