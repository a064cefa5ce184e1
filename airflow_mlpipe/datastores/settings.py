"""Checks of what a workspace file says of a datastore."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_mlpipe.errors import ConfigError


def check_settings(name: str, config: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse a setting that the type of datastore does not know.

    :param name: of the datastore.
    :raises ConfigError: with the closest known setting.
    """
    for key in config:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"Datastore {name!r}: unknown setting {key!r}. Known: {', '.join(known)}.{hint}")
