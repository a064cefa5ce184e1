"""What Airflow is told: the arguments of the DAG, and those of each task that are no field of its step."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow_mlpipe.generator.literals import Call
from airflow_mlpipe.spec.model import PipelineSpec, StepOptions
from airflow_mlpipe.spec.step import MODEL_TYPES, Step

_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - a wall clock time in whatever zone the schedule has
_KINDS = {True: "model", False: "dataset"}
_UNITS = (("days", 86400), ("hours", 3600), ("minutes", 60))


def dag_arguments(spec: PipelineSpec) -> dict[str, Any]:
    """Return the arguments of ``DAG(...)`` that say what and when; what the spec does not say is left out.

    A schedule without a start date gets a fixed one in the past: it carries the time zone, and the grid of an interval
    schedule needs an origin that does not move.
    """
    block = spec.airflow
    zone = block.schedule.time_zone if block.schedule else "UTC"
    start = block.start_date or (_EPOCH if block.schedule else None)
    arguments = {
        "dag_display_name": spec.display_name if spec.display_name != dag_id_of(spec) else "",
        "description": spec.description,
        "schedule": _schedule(spec),
        "start_date": moment(start, zone) if start else None,
        "end_date": moment(block.end_date, zone) if block.end_date else None,
        "on_failure_callback": callback(block.on_failure),
        "on_success_callback": callback(block.on_success),
        "tags": list(dict.fromkeys([*block.tags, *(_tag(*item) for item in spec.tags.items())])),
    }
    return {key: value for key, value in arguments.items() if value or key == "schedule"}


def dag_id_of(spec: PipelineSpec) -> str:
    """Return the id of the DAG that a pipeline becomes."""
    return spec.airflow.dag_id or spec.name


def run_limits(spec: PipelineSpec) -> dict[str, Any]:
    """Return ``catchup`` and, if the spec says it, ``max_active_runs``."""
    limit = spec.airflow.max_active_runs
    return {"catchup": spec.airflow.catchup} | ({} if limit is None else {"max_active_runs": limit})


def plan_arguments(spec: PipelineSpec) -> dict[str, Any]:
    """Return Airflow's arguments of the plan task: those of the pipeline but the pool.

    The plan takes a second or two; it must not wait hours for a slot among the jobs.
    """
    arguments = _task_arguments(spec, StepOptions())
    arguments.pop("pool", None)
    return arguments


def step_task_arguments(spec: PipelineSpec, step: Step) -> dict[str, Any]:
    """Return Airflow's arguments of a step's task; the step's own options go before the pipeline's."""
    arguments = _task_arguments(spec, spec.step_options.get(step.name, StepOptions()))
    outputs = [output for output in step.outputs.values() if output.name is not None]
    named = [f"{_KINDS[output.type in MODEL_TYPES]}/{output.name}" for output in outputs]
    outlets = {"outlets": [asset(name) for name in dict.fromkeys(named)]} if named else {}
    return {**arguments, "trigger_rule": "none_failed", **outlets}


def asset(name: str) -> Call:
    """Return the Airflow asset that stands for a registered dataset or model, ``model/<name>``."""
    return Call("Asset", (), {"name": name, "uri": f"mlpipe://{name}"})


def callback(name: str | None) -> Call | None:
    """Return what Airflow calls for a function that the spec names; the function is imported when it is called."""
    return None if name is None else Call("callback", (name,))


def moment(value: datetime, zone: str) -> Call:
    """Return ``pendulum.datetime(2013, 2, 1, tz="America/New_York")``; naive dates are meant in that zone."""
    local = value if value.tzinfo is None else value.astimezone(ZoneInfo(zone))
    clock = [local.hour, local.minute, local.second, local.microsecond]
    while clock and not clock[-1]:
        clock.pop()
    return Call("pendulum.datetime", (local.year, local.month, local.day, *clock), {"tz": zone})


def duration(seconds: float) -> Call:
    """Return ``timedelta(minutes=5)`` in the largest unit that gives a whole number."""
    for unit, length in _UNITS:
        if seconds >= length and seconds % length == 0:
            return Call("timedelta", (), {unit: int(seconds // length)})
    return Call("timedelta", (), {"seconds": int(seconds) if float(seconds).is_integer() else seconds})


def _schedule(spec: PipelineSpec) -> Any:
    schedule = spec.airflow.schedule
    if schedule is None:
        return None
    if schedule.assets:
        return [asset(name) for name in schedule.assets]
    if schedule.data is not None:
        found = {"path": schedule.data, "poll_interval": schedule.poll_interval}
        return [Call("changed_data", (dag_id_of(spec),), found)]
    return schedule.expression if schedule.every is None else duration(schedule.every)


def _tag(name: str, value: str) -> str:
    return f"{name}:{value}" if value else name


def _task_arguments(spec: PipelineSpec, options: StepOptions) -> dict[str, Any]:
    block = spec.airflow
    delay = block.retry_delay if options.retry_delay is None else options.retry_delay
    arguments = {
        "task_display_name": options.display_name or None,
        "doc_md": options.documentation or None,
        "owner": block.owner,
        "retries": block.retries if options.retries is None else options.retries,
        "retry_delay": None if delay is None else duration(delay),
        "pool": options.pool or block.pool,
        "queue": options.queue or block.queue,
        "priority_weight": options.priority_weight,
        "execution_timeout": None if options.execution_timeout is None else duration(options.execution_timeout),
        "on_failure_callback": callback(options.on_failure),
        "on_success_callback": callback(options.on_success),
        "on_retry_callback": callback(options.on_retry),
    }
    return {key: value for key, value in arguments.items() if value is not None}
