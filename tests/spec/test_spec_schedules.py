from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.model import AirflowBlock, Schedule
from airflow_mlpipe.spec.times import date, duration

PLACE = Place("x.yml", {})


def block(tmp_path: Path, text: str) -> AirflowBlock:
    path = tmp_path / "p.yml"
    path.write_text(f"type: pipeline\njobs: {{a: {{command: echo}}}}\nairflow: {text}\n")
    return load_pipeline(path).airflow


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("{schedule: null}", None),
        ("{schedule: '0 6 * * 1-5'}", Schedule(expression="0 6 * * 1-5")),
        ("{schedule: ' 0  6 1 */3 * '}", Schedule(expression="0 6 1 */3 *")),
        (
            "{schedule: {type: on_data_change, path: azureml://datastores/landing/paths/raw/, poll_interval: 1m}}",
            Schedule(data="azureml://datastores/landing/paths/raw", poll_interval=60),
        ),
        ("{schedule: '@monthly'}", Schedule(expression="@monthly")),
        (
            "{schedule: {type: recurrence, frequency: day, interval: 1, schedule: {hours: 4, minutes: [30, 0]}}}",
            Schedule(expression="0,30 4 * * *"),
        ),
        (
            "{schedule: {type: recurrence, frequency: month, interval: 1, "
            "schedule: {month_days: [15, 1], hours: [2]}}}",
            Schedule(expression="0 2 1,15 * *"),
        ),
        (
            "{start_date: 2013-02-05T06:30, schedule: {type: recurrence, frequency: month, interval: 3}}",
            Schedule(expression="30 6 5 2,5,8,11 *"),
        ),
        (
            "{start_date: 2013-02-05, schedule: {type: recurrence, frequency: month, interval: 1}}",
            Schedule(expression="0 0 5 * *"),
        ),
        (
            "{schedule: {type: recurrence, frequency: hour, interval: 6, start_time: 2013-02-05T00:00:00Z}}",
            Schedule(every=21600),
        ),
        (
            "{start_date: 2013-02-05, schedule: "
            "{type: recurrence, frequency: week, interval: 2, time_zone: Europe/Berlin}}",
            Schedule(every=1209600, time_zone="Europe/Berlin"),
        ),
    ],
)
def test_schedules(tmp_path: Path, text: str, schedule: Schedule | None) -> None:
    assert block(tmp_path, text).schedule == schedule


def test_dates_of_the_trigger_are_dates_of_the_dag(tmp_path: Path) -> None:
    found = block(
        tmp_path, "{schedule: {type: cron, expression: '@daily', start_time: 2013-02-01, end_time: 2013-03-01}}"
    )
    assert found.start_date == datetime(2013, 2, 1)  # noqa: DTZ001 - in the schedule's zone
    assert found.end_date == datetime(2013, 3, 1)  # noqa: DTZ001 - in the schedule's zone


@pytest.mark.parametrize("interval", [5, 7, 24])
def test_months_that_do_not_fit_a_year(tmp_path: Path, interval: int) -> None:
    text = f"{{start_date: 2013-02-05, schedule: {{type: recurrence, frequency: month, interval: {interval}}}}}"
    with pytest.raises(SpecError, match=r"MLP145.*divides 12"):
        block(tmp_path, text)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(90, 90), (0.5, 0.5), ("30s", 30), ("5m", 300), (" 1.5h ", 5400), ("2 d", 172800), (None, None)],
)
def test_durations(value: Any, seconds: float | None) -> None:
    faults = Faults()
    assert duration(value, PLACE, faults) == seconds
    assert faults.errors == ()


@pytest.mark.parametrize("value", [-1, True, float("nan"), "5", "5 minutes", "m", [], "1h30m"])
def test_what_is_no_duration(value: Any) -> None:
    faults = Faults()
    assert duration(value, PLACE, faults) is None
    assert [fault.code for fault in faults.errors] == ["MLP024"]


def test_dates() -> None:
    faults = Faults()
    assert date("2013-02-01T06:00:00+02:00", PLACE, faults) == datetime(
        2013, 2, 1, 6, tzinfo=timezone(timedelta(hours=2))
    )
    assert date("2013-02-01 06:00", PLACE, faults) == datetime(2013, 2, 1, 6)  # noqa: DTZ001 - naive on purpose
    assert faults.errors == ()
    for wrong in ("20130201", "2013-2-1", "2013-02-01T25:00", 2013, "\uff11\uff12\uff13\uff14-01-01"):
        assert date(wrong, PLACE, faults) is None
    assert {fault.code for fault in faults.errors} == {"MLP142"}
