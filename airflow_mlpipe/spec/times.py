"""Durations, dates and time zones as people write them."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from airflow_mlpipe.spec.diagnostics import Faults, Place, did_you_mean
from airflow_mlpipe.spec.structure import describe

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?")


def duration(value: Any, place: Place, faults: Faults) -> float | None:
    """Return seconds of a number or of text such as ``30s``, ``5m``, ``1.5h``, ``2d``."""
    if value is None:
        return None
    seconds: float | None = None
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        seconds = float(match[1]) * _SECONDS[match[2]] if match else None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        faults.add(place, "MLP024", f"must be seconds or text such as 30s, 5m, 1h, got {describe(value)}.")
        return None
    return seconds


def date(value: Any, place: Place, faults: Faults) -> datetime | None:
    """Return a date with or without time and offset; without an offset it is naive."""
    if value is None:
        return None
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError as error:
            faults.add(place, "MLP142", f"is no date: {error}.")
            return None
    faults.add(place, "MLP142", f"must be a date such as 2013-02-01 or 2013-02-01T06:00:00, got {describe(value)}.")
    return None


def time_zone(value: Any, place: Place, faults: Faults) -> str:
    """Return the IANA name of a time zone, of a Windows name such as ``Pacific Standard Time`` too; default ``UTC``."""
    if value is None:
        return "UTC"
    if isinstance(value, str):
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            # Windows' names are Azure ML's; the list is slow to import, and few files need it.
            from tzlocal.windows_tz import win_tz  # noqa: PLC0415

            if value in win_tz:
                return str(win_tz[value])
            hint = did_you_mean(value, available_timezones())
            faults.add(place, "MLP141", f"{value!r} is no time zone; write an IANA name such as Europe/Berlin.{hint}")
        return value
    faults.add(place, "MLP141", f"must be an IANA time zone such as Europe/Berlin, got {describe(value)}.")
    return "UTC"
