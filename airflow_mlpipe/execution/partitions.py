"""Which files of a folder belong to a run."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.execution.bindings import resolve_value
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.spec.step import Partitions, Scalar

_MAX_PERIODS = 10_000
_MONTHS = {"month": 1, "year": 12}
_LENGTHS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}


def partition_files(partitions: Partitions, run: RunInfo, where: str) -> tuple[str, ...]:
    """Return the relative paths of the files that belong to a run, oldest first.

    :param partitions: the rule.
    :param run: brings the anchor and the counts.
    :param where: named in errors.
    :raises ParameterError: if the anchor is no date or a count no whole number.
    """
    anchor = _anchor(resolve_value(partitions.anchor, run, where), where)
    count = _whole(resolve_value(partitions.count, run, where), "count", 1, where)
    ahead = _whole(resolve_value(partitions.ahead, run, where), "ahead", 0, where)
    moments = [_shift(anchor, partitions.every, steps) for steps in range(1 - count, ahead + 1)]
    return tuple(dict.fromkeys(moment.strftime(partitions.files) for moment in moments))


def _anchor(value: Scalar, where: str) -> datetime:
    text = str(value).strip()
    try:
        if len(text) == len("2013-02"):
            text += "-01"
        if len(text) == len("2013-02-01"):
            return datetime.combine(date.fromisoformat(text), datetime.min.time())
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ParameterError(
            f"{where}: {value!r} is no date. Write 2013-02, 2013-02-01 or 2013-02-01T06:00:00+00:00."
        ) from None


def _whole(value: Scalar, name: str, least: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MAX_PERIODS:
        raise ParameterError(
            f"{where}: partitions.{name} is {value!r}; allowed are whole numbers from {least} to {_MAX_PERIODS}."
        )
    return value


def _shift(anchor: datetime, every: str, steps: int) -> datetime:
    if every in _LENGTHS:
        return anchor + steps * _LENGTHS[every]
    months = anchor.year * 12 + anchor.month - 1 + steps * _MONTHS[every]
    return anchor.replace(year=months // 12, month=months % 12 + 1, day=1)
