"""Limits of dates as patterns: the same answer as a comparison, for every date."""

from __future__ import annotations

import re
from datetime import date

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.generator.date_range import date_range
from airflow_mlpipe.spec.model import Parameter

DATES = st.dates().map(date.isoformat)


@given(DATES, DATES, DATES)
def test_the_pattern_says_what_a_comparison_says(first: str, last: str, given_date: str) -> None:
    pattern = date_range(first, last)
    assert bool(re.search(pattern, given_date)) == (first <= given_date <= last)
    assert bool(re.search(date_range(first, None), given_date)) == (first <= given_date)
    assert bool(re.search(date_range(None, last), given_date)) == (given_date <= last)


@given(DATES)
def test_the_limits_themselves_are_allowed(day: str) -> None:
    assert re.search(date_range(day, day), day)


def test_no_limit_is_no_pattern() -> None:
    assert date_range(None, None) == ""


@pytest.mark.parametrize(
    "value", ["2012-12-31", "2030-01-01", "2013-02-30", "2013-2-1", "1.2.2013", "", "2013-02-01x", "2013-02-01\n"]
)
def test_the_schema_refuses_what_the_parameter_refuses(value: str) -> None:
    parameter = Parameter(type="string", format="date", earliest="2013-01-01", latest="2029-12-31")
    with pytest.raises(ParameterError, match="must"):
        parameter.normalise(value)
    schema = {"type": "string", "format": "date", "pattern": date_range(parameter.earliest, parameter.latest)}
    checker = jsonschema.FormatChecker()
    jsonschema.validate("2013-02-01", schema, format_checker=checker)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema, format_checker=checker)


@pytest.mark.parametrize(
    ("value", "is_right"),
    [
        ("2013-02-01T06:00:00Z", True),
        ("2013-02-01T06:00:00+01:00", True),
        ("2013-02-01T06:00:00", False),
        ("2013-02-01", False),
        ("2013-02-01T25:00:00Z", False),
    ],
)
def test_a_moment_has_a_time_zone(value: str, is_right: bool) -> None:
    parameter = Parameter(type="string", format="date-time")
    if is_right:
        assert parameter.normalise(value) == value
    else:
        with pytest.raises(ParameterError, match="must be a date-time such as"):
            parameter.normalise(value)


def test_dates_do_not_touch_other_parameters() -> None:
    assert Parameter(type="string").normalise("2013-02-30") == "2013-02-30"
