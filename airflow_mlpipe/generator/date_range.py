"""Limits of ISO dates as a regular expression: the only way in which JSON Schema, and so the REST API, checks them.

Dates of this form are in order when their texts are, so a bound is a list of beginnings: ``201[4-9]`` or
``2013-0[3-9]`` or ... or the date itself. The format of the parameter checks that the text is a date at all.
"""

from __future__ import annotations


def date_range(earliest: str | None, latest: str | None) -> str:
    """Return the pattern of the dates between two, both included; empty if there is no limit.

    >>> date_range("2013-12-01", None)
    '^(?=[3-9]|2[1-9]|20[2-9]|201[4-9]|2013-[2-9]|2013-1[3-9]|2013-12-[1-9]|2013-12-0[2-9]|2013-12-01)'
    """
    bounds = [_beyond(earliest, "9")] if earliest is not None else []
    bounds += [_beyond(latest, "0")] if latest is not None else []
    return f"^{''.join(bounds)}" if bounds else ""


def _beyond(date: str, last: str) -> str:
    """Return a look-ahead for the date and everything on one side of it.

    :param last: the last digit on that side.
    """
    beginnings = [
        f"{date[:place]}{_digits(digit, last)}" for place, digit in enumerate(date) if digit.isdigit() and digit != last
    ]
    return f"(?={'|'.join([*beginnings, date])})"


def _digits(digit: str, last: str) -> str:
    """Return the digits beyond one, up to the last one."""
    if last == "9":
        return last if digit == "8" else f"[{int(digit) + 1}-9]"
    return last if digit == "1" else f"[0-{int(digit) - 1}]"
