"""``airflow: {schedule: ...}``: Azure ML's cron and recurrence triggers, and Airflow's short forms."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from airflow_mlpipe.spec.diagnostics import Faults, Place, listed
from airflow_mlpipe.spec.documents import AssetName, Raw, Text, free
from airflow_mlpipe.spec.model import Schedule
from airflow_mlpipe.spec.paths import datastore_path
from airflow_mlpipe.spec.structure import describe, known, validate
from airflow_mlpipe.spec.times import duration, time_zone

PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")

_RANDOM = re.compile(r"(?<![A-Za-z])[RrHh](?![A-Za-z])")
"""croniter's random fields: a schedule that nobody could foresee."""
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_KINDS = "'cron', 'recurrence', 'on_dataset' or 'on_data_change'"
_POLL_INTERVAL = 300.0
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400, "week": 604800}


class CronKeys(Raw):
    """``{type: cron, ...}``."""

    type: Literal["cron"] = Field(description="cron.")
    expression: Text = Field(description="Five cron fields, or @monthly and the like.")
    time_zone: Any = free("IANA name, Europe/Berlin; default UTC.")
    start_time: Any = free("Same as 'start_date' of the airflow block.")
    end_time: Any = free("Same as 'end_date' of the airflow block.")


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Numbers = Annotated[list[int], BeforeValidator(_listed)]
Words = Annotated[list[str], BeforeValidator(_listed)]


class PatternKeys(Raw):
    """``schedule:`` of a recurrence."""

    hours: Numbers = Field(default_factory=list, description="Hours of the day.")
    minutes: Numbers = Field(default_factory=list, description="Minutes of the hour.")
    week_days: Words = Field(default_factory=list, description="Days of the week, of a weekly recurrence.")
    month_days: Numbers = Field(default_factory=list, description="Days of the month, of a monthly recurrence.")


class RecurrenceKeys(Raw):
    """``{type: recurrence, ...}``."""

    type: Literal["recurrence"] = Field(description="recurrence.")
    frequency: Literal["minute", "hour", "day", "week", "month"] = Field(description="Unit of the interval.")
    interval: int = Field(ge=1, description="Number of units between starts.")
    schedule: PatternKeys | None = Field(None, description="When within the period.")
    time_zone: Any = free("IANA name, Europe/Berlin; default UTC.")
    start_time: Any = free("Same as 'start_date' of the airflow block.")
    end_time: Any = free("Same as 'end_date' of the airflow block.")


class OnDatasetKeys(Raw):
    """``{type: on_dataset, ...}``: of ours, Azure ML has no such trigger."""

    type: Literal["on_dataset"] = Field(description="on_dataset.")
    datasets: list[AssetName] = Field(default_factory=list, description="Datasets; each new version starts a run.")
    models: list[AssetName] = Field(default_factory=list, description="Models; each new version starts a run.")


class OnDataChangeKeys(Raw):
    """``{type: on_data_change, ...}``: Azure ML v1's ``Schedule`` with a ``datastore``; v2 has no such trigger."""

    type: Literal["on_data_change"] = Field(description="on_data_change.")
    path: Text = Field(description="What to watch, with all below it: azureml://datastores/<name>/paths/<path>.")
    poll_interval: Any = free("Between two looks: seconds, or text such as 30s, 5m; default 5m, as in Azure ML v1.")


Trigger = CronKeys | RecurrenceKeys | OnDatasetKeys | OnDataChangeKeys


def _cron(text: str, place: Place, faults: Faults) -> str:
    if text.startswith("@"):
        if text not in PRESETS:
            faults.add(place, "MLP140", f"{text!r} is no preset.{known(text, list(PRESETS))}")
        return text
    # croniter is what Airflow itself reads the expression with; 30 ms that only a cron schedule pays.
    from croniter import croniter  # type: ignore[import-untyped]  # noqa: PLC0415

    fields = text.split()
    if len(fields) != 5 or _RANDOM.search(text) or not croniter.is_valid(text):
        rule = "minute hour day-of-month month day-of-week, such as '0 6 1 * *'"
        faults.add(place, "MLP140", f"must be five cron fields, {rule}, or one of {listed(PRESETS)}; got {text!r}.")
    return " ".join(fields)


def _numbers(value: list[int], lowest: int, highest: int, place: Place, faults: Faults) -> list[int]:
    numbers = sorted(set(value))
    if any(not lowest <= number <= highest for number in numbers):
        faults.add(place, "MLP145", f"must be numbers from {lowest} to {highest}, got {_fields(value, 'none')}.")
    return numbers


def _fields(numbers: list[int], default: str) -> str:
    return ",".join(str(number) for number in numbers) or default


def _week_days(days: list[str], place: Place, faults: Faults) -> list[int]:
    for day in days:
        if day.lower() not in _DAYS:
            faults.add(place, "MLP145", f"{day!r} is no day of the week.{known(day, list(_DAYS))}")
    return sorted({_DAYS.index(day.lower()) for day in days if day.lower() in _DAYS})


def _check_pattern(keys: RecurrenceKeys, pattern: PatternKeys, place: Place, faults: Faults) -> None:
    if keys.interval != 1:
        faults.add(
            place / "interval", "MLP145", "must be 1 when a 'schedule' pattern is given; write a cron schedule instead."
        )
    if keys.frequency in ("minute", "hour"):
        text = "belongs to daily, weekly and monthly recurrences; write a cron schedule instead."
        faults.add(place / "schedule", "MLP145", text, of_key=True)
    for name, frequency in (("week_days", "week"), ("month_days", "month")):
        if getattr(pattern, name) != [] and keys.frequency != frequency:
            text = f"belongs to 'frequency: {frequency}', not to '{keys.frequency}'."
            faults.add(place / "schedule" / name, "MLP145", text, of_key=True)
        if getattr(pattern, name) == [] and keys.frequency == frequency:
            faults.add(
                place / "schedule", "MLP145", f"the key '{name}' is missing for 'frequency: {frequency}'.", of_key=True
            )


def _pattern(keys: RecurrenceKeys, pattern: PatternKeys, place: Place, faults: Faults) -> str:
    _check_pattern(keys, pattern, place, faults)
    here = place / "schedule"
    minutes = _numbers(pattern.minutes, 0, 59, here / "minutes", faults)
    hours = _numbers(pattern.hours, 0, 23, here / "hours", faults)
    days = _numbers(pattern.month_days, 1, 31, here / "month_days", faults)
    week_days = _week_days(pattern.week_days, here / "week_days", faults)
    return f"{_fields(minutes, '0')} {_fields(hours, '0')} {_fields(days, '*')} * {_fields(week_days, '*')}"


def _monthly(keys: RecurrenceKeys, start: datetime | None, place: Place, faults: Faults) -> str:
    if start is None or 12 % keys.interval:
        text = (
            "a recurrence by months needs a start date and an interval that divides 12; write a cron schedule instead."
        )
        faults.add(place / "interval", "MLP145", text)
        return "0 0 1 * *"
    months = sorted((start.month - 1 + step) % 12 + 1 for step in range(0, 12, keys.interval))
    return f"{start.minute} {start.hour} {start.day} {'*' if keys.interval == 1 else _fields(months, '*')} *"


def _recurrence(keys: RecurrenceKeys, start: datetime | None, place: Place, faults: Faults) -> Schedule:
    zone = time_zone(keys.time_zone, place / "time_zone", faults)
    if keys.schedule is not None:
        return Schedule(expression=_pattern(keys, keys.schedule, place, faults), time_zone=zone)
    if keys.frequency == "month":
        return Schedule(expression=_monthly(keys, start, place, faults), time_zone=zone)
    if start is None:
        faults.add(place, "MLP143", "a recurrence is counted from 'start_date' of the airflow block; it is missing.")
    return Schedule(every=float(keys.interval * _SECONDS[keys.frequency]), time_zone=zone)


def _trigger(value: dict[str, Any], place: Place, faults: Faults) -> Trigger | None:
    kind = value.get("type")
    if kind == "cron":
        return validate(CronKeys, value, place, faults)
    if kind == "recurrence":
        return validate(RecurrenceKeys, value, place, faults)
    if kind == "on_dataset":
        keys = validate(OnDatasetKeys, value, place, faults)
        if keys is not None and not keys.datasets and not keys.models:
            faults.add(place, "MLP022", "one of 'datasets', 'models' is missing: the names to wait for.", of_key=True)
        return keys
    if kind == "on_data_change":
        return validate(OnDataChangeKeys, value, place, faults)
    if kind is None:
        faults.add(place, "MLP022", f"the key 'type' is missing: {_KINDS}.", of_key=True)
    else:
        faults.add(place / "type", "MLP024", f"must be {_KINDS}, got {describe(kind)}.")
    return None


def _data_change(keys: OnDataChangeKeys, place: Place, faults: Faults) -> Schedule:
    path = datastore_path(keys.path, place / "path", faults)
    seconds = duration(keys.poll_interval, place / "poll_interval", faults)
    if seconds == 0:
        faults.add(place / "poll_interval", "MLP024", "must be longer than 0.")
    return Schedule(data=path, poll_interval=seconds or _POLL_INTERVAL)


def read_trigger(value: Any, place: Place, faults: Faults) -> Trigger | None:
    """Read the long or short form of a schedule; ``None`` for no schedule or a wrong one."""
    if value is None:
        return None
    if isinstance(value, str):
        return CronKeys(type="cron", expression=value or "?")
    if isinstance(value, dict):
        return _trigger(value, place, faults)
    faults.add(place, "MLP023", f"must be cron text, a preset or a mapping with 'type', got {describe(value)}.")
    return None


def build_schedule(keys: Trigger, start: datetime | None, place: Place, faults: Faults) -> Schedule:
    """Return the schedule that a trigger means.

    :param start: the start date, from which a recurrence without pattern is counted.
    """
    if isinstance(keys, OnDatasetKeys):
        named = [f"dataset/{name}" for name in keys.datasets] + [f"model/{name}" for name in keys.models]
        return Schedule(assets=tuple(dict.fromkeys(named)))
    if isinstance(keys, OnDataChangeKeys):
        return _data_change(keys, place, faults)
    if isinstance(keys, RecurrenceKeys):
        return _recurrence(keys, start, place, faults)
    here = place / "expression" if place.text is None else place
    return Schedule(
        expression=_cron(keys.expression, here, faults),
        time_zone=time_zone(keys.time_zone, place / "time_zone", faults),
    )
