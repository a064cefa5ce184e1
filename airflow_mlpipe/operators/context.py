"""From Airflow's context of a task to what a run is for this package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from airflow.providers.common.compat.sdk import AirflowException

from airflow_mlpipe.errors import ConfigError, ParameterError
from airflow_mlpipe.execution.bindings import resolve_parameters
from airflow_mlpipe.execution.run_info import ReuseMode, RunInfo
from airflow_mlpipe.execution.run_request import (
    ASSIGNMENTS,
    AZURE_KEYS,
    RequestError,
    RequestFault,
    RunRequest,
    did_you_mean,
    read_request,
)
from airflow_mlpipe.spec.step import DATA_KEY, Scalar

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

REUSE = "reuse"
REUSE_STEPS = "reuse_steps"

DEFAULT_KEY = "mlpipe_default"
"""Key in a Param's schema with a default that only the run knows, such as ``${{airflow.data_interval_start}}``."""

_MODES = get_args(ReuseMode)
_DATES = ("data_interval_start", "data_interval_end", "logical_date")


def run_info(context: Context, base: Path) -> RunInfo:
    """Return what belongs to the run.

    :param base: folder that relative paths start from.
    :raises ParameterError: if a reuse mode or an assignment is wrong, or the run cannot bring a parameter's default.
    """
    dag = context["dag"]
    request = _request(context)
    given = {**_plain(context), **request.parameters}
    mode, step_modes = given.pop(REUSE, None), given.pop(REUSE_STEPS, None)
    given = {
        name: _typed(value, schema)
        for name, value in given.items()
        if not ((schema := _schema(dag.params, name)).get(DATA_KEY) and value is None)
    }
    run = RunInfo(
        pipeline=dag.dag_id,
        run_id=context["run_id"],
        parameters=given,
        fields=run_fields(context),
        base=base,
        reuse=_mode(mode if mode is not None else "auto", REUSE),
        step_reuse=_step_modes(step_modes),
        labels=request.labels,
    )
    defaults = resolve_parameters(_run_defaults(dag.params, given), run)
    return replace(run, parameters={**given, **defaults})


def _request(context: Context) -> RunRequest:
    """Return what the run was triggered with; Airflow has checked plain parameters, and nothing inside assignments."""
    params = context["dag"].params
    conf = cast("Mapping[str, Any]", context["dag_run"].conf or {})
    request = read_request(conf, {name: _schema(params, name) for name in params})
    faults = [fault for name, value in request.parameters.items() for fault in _faults(params, name, value)]
    if faults:
        raise RequestError(faults)
    return request


def _faults(params: Any, name: str, value: Any) -> Iterator[RequestFault]:
    if name not in params:
        return
    try:
        copy(params.get_param(name)).resolve(value)
    except AirflowException as error:
        yield RequestFault(f"{ASSIGNMENTS}.{name}", f"{str(error).partition(chr(10))[0]}.")


def _plain(context: Context) -> dict[str, Any]:
    """Return the parameters as Airflow gives them, without the words of Azure's body that it counts among them."""
    declared = context["dag"].params
    given = cast("Mapping[str, Any]", context["params"])
    return {name: value for name, value in given.items() if name in declared or name not in AZURE_KEYS}


def run_fields(context: Context) -> dict[str, str | None]:
    """Return the fields that ``${{airflow.<field>}}`` may name, dates in ISO 8601; ``None`` for what this run has not.

    A run that was triggered with ``logical_date: null`` has no dates.
    """
    values = cast("Mapping[str, Any]", context)
    run = values["dag_run"]
    fields: dict[str, str | None] = {name: _iso(values.get(name)) for name in _DATES}
    kind = getattr(run, "run_type", None)
    partition = getattr(run, "partition_key", None)
    return {
        **fields,
        "ds": values.get("ds"),
        "ts": values.get("ts"),
        "run_id": values["run_id"],
        "run_type": None if kind is None else str(getattr(kind, "value", kind)),
        "dag_id": values["dag"].dag_id,
        "partition_key": partition,
    }


def _iso(date: Any) -> str | None:
    return None if date is None else str(date.isoformat())


def _run_defaults(params: Any, given: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the defaults that the run brings, of the parameters that nobody gave."""
    defaults: dict[str, Scalar] = {}
    for name in params:
        text = _schema(params, name).get(DEFAULT_KEY)
        if text is not None and given.get(name) is None:
            defaults[name] = text
    return defaults


def _schema(params: Any, name: str) -> Mapping[str, Any]:
    return dict(params.get_param(name).schema) if name in params and hasattr(params, "get_param") else {}


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return a number as the parameter's type has it: JSON does not tell 1 from 1.0, but they would be other steps."""
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if "number" in kinds:
        return float(value)
    return int(value) if "integer" in kinds and value == int(value) else value


def _mode(value: Any, where: str) -> ReuseMode:
    if value not in _MODES:
        raise ParameterError(f"{where} must be one of {', '.join(_MODES)}; given was {value!r}.")
    return cast("ReuseMode", value)


def _step_modes(value: Any) -> dict[str, ReuseMode]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ParameterError(
            f'{REUSE_STEPS} must name a mode for each step, such as {{"train": "force"}}; given was {value!r}.'
        )
    return {str(step): _mode(mode, f"{REUSE_STEPS}.{step}") for step, mode in value.items()}


def check_conf(conf: Mapping[str, Any], params: Mapping[str, Any], steps: list[str]) -> None:
    """Refuse what Airflow lets pass: a parameter that the DAG does not have, a mode for a step that it does not have.

    :param conf: what the run was triggered with.
    :param params: the DAG's own parameters.
    :param steps: the DAG's steps.
    :raises ParameterError: naming every wrong word.
    """
    faults: list[str] = []
    modes = conf.get(REUSE_STEPS)
    try:
        modes = read_request(conf, {name: _schema(params, name) for name in params}).parameters.get(REUSE_STEPS, modes)
    except RequestError as error:
        faults += map(str, error.faults)
    if isinstance(modes, Mapping):
        faults += [
            f"{REUSE_STEPS} names no step: {step!r}.{did_you_mean(step, steps)}" for step in modes if step not in steps
        ]
    if faults:
        raise ParameterError("This run was triggered with wrong parameters:\n" + "\n".join(faults))


def refuse_mapped(context: Context) -> None:
    """Refuse a task instance of a mapped task group: a step has one record in a run.

    :raises ConfigError: with what to do instead.
    """
    if getattr(context["ti"], "map_index", -1) not in (-1, None):
        raise ConfigError(
            "A step cannot be in a mapped task group: it has one record in a run. Create the steps in a Python loop."
        )
