"""What a task's context says about the run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Param

from airflow_mlpipe.errors import ConfigError, ParameterError
from airflow_mlpipe.operators import CommandOperator
from airflow_mlpipe.operators.context import check_conf, refuse_mapped, run_fields, run_info
from airflow_mlpipe.spec.expressions import RUN_FIELDS

pytestmark = pytest.mark.airflow


@pytest.fixture
def operator(project: Any) -> CommandOperator:
    params = {
        "rate": Param(0.1, type="number"),
        "month": Param(None, type=["null", "string"], mlpipe_default="${{airflow.data_interval_start}}"),
    }
    with project.dag(params=params):
        return CommandOperator(task_id="a", command="true")


def scheduled() -> dict[str, Any]:
    import pendulum

    start, end = pendulum.datetime(2013, 2, 1), pendulum.datetime(2013, 3, 1)
    dates = {"data_interval_start": start, "data_interval_end": end, "logical_date": start}
    return {**dates, "ds": "2013-02-01", "ts": start.isoformat()}


def test_a_scheduled_run_has_every_field(project: Any, operator: CommandOperator) -> None:
    context = project.context(operator, **scheduled())
    context["dag_run"] = SimpleNamespace(run_type=SimpleNamespace(value="scheduled"), partition_key="p", conf=None)
    fields = run_fields(context)
    assert set(fields) == RUN_FIELDS
    assert None not in fields.values()
    assert fields["data_interval_start"] == "2013-02-01T00:00:00+00:00"
    assert fields["run_type"] == "scheduled"


def test_a_run_without_dates_has_none(project: Any, operator: CommandOperator) -> None:
    fields = run_fields(project.context(operator))
    missing = {name for name, value in fields.items() if value is None}
    assert missing == {"data_interval_start", "data_interval_end", "logical_date", "ds", "ts", "partition_key"}


def test_parameters_defaults_and_modes(project: Any, operator: CommandOperator) -> None:
    params = {"rate": 0.5, "reuse": "force", "reuse_steps": {"a": "disable"}}
    run = run_info(project.context(operator, params=params, **scheduled()), Path("/base"))
    assert run.parameters == {"rate": 0.5, "month": "2013-02-01T00:00:00+00:00"}
    assert (run.pipeline, run.run_id, run.base) == ("flights", "run-1", Path("/base"))
    assert (run.mode("a"), run.mode("b")) == ("disable", "force")


@pytest.mark.parametrize(
    ("kind", "given", "typed"),
    [
        ("number", 1, 1.0),
        ("integer", 3.0, 3),
        (["null", "number"], 2, 2.0),
        ("boolean", True, True),
        ("string", "1", "1"),
    ],
)
def test_numbers_have_their_parameters_type(project: Any, kind: Any, given: Any, typed: Any) -> None:
    with project.dag(params={"x": Param(given, type=kind)}):
        task = CommandOperator(task_id="a", command="true")
    value = run_info(project.context(task, params={"x": given}), Path()).parameters["x"]
    assert (value, type(value)) == (typed, type(typed))


def test_a_given_value_is_never_an_expression(project: Any, operator: CommandOperator) -> None:
    run = run_info(project.context(operator, params={"month": "${{airflow.run_id}}"}), Path())
    assert run.parameters["month"] == "${{airflow.run_id}}"


def test_a_missing_date_names_the_parameter(project: Any, operator: CommandOperator) -> None:
    with pytest.raises(ParameterError, match=r"parameter month .*has no data_interval_start"):
        run_info(project.context(operator), Path())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"reuse": "always"}, "reuse must be one of auto, force, disable; given was 'always'"),
        ({"reuse_steps": {"a": 1}}, "reuse_steps.a must be one of"),
        ({"reuse_steps": "a"}, "must name a mode for each step"),
    ],
)
def test_wrong_modes_are_refused(project: Any, operator: CommandOperator, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        run_info(project.context(operator, params={"month": "x", **params}), Path())


def test_unknown_conf_keys_and_steps_are_named() -> None:
    conf = {"rat": 1, "zzz": 2, "reuse": "auto", "reuse_steps": {"trian": "force", "train": "force"}}
    with pytest.raises(ParameterError) as error:
        check_conf(conf, {"rate": 1}, ["train", "score"])
    text = str(error.value)
    assert "unknown parameter 'rat'. Did you mean 'rate'?" in text
    assert "unknown parameter 'zzz'. There is: rate, reuse, reuse_steps." in text
    assert "names no step: 'trian'. Did you mean 'train'?" in text
    check_conf({"rate": 2, "reuse_steps": {"train": "force"}}, {"rate": 1}, ["train"])


def test_a_mapped_instance_is_refused(project: Any, operator: CommandOperator) -> None:
    with pytest.raises(ConfigError, match="mapped task group"):
        refuse_mapped(project.context(operator, map_index=0))
