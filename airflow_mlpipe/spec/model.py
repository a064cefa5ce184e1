"""What a pipeline file says once it is read: frozen values, nothing of YAML left.

The raw shapes of the YAML are in :mod:`airflow_mlpipe.spec.documents`; the steps in :mod:`airflow_mlpipe.spec.step`.
"""

import math
import re
from datetime import datetime
from pathlib import Path
from typing import Literal

from msgspec import field

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.frozen import Strict
from airflow_mlpipe.spec.diagnostics import Fault
from airflow_mlpipe.spec.step import InputData, Scalar, ScalarType, Step

Template = Literal["general", "retraining", "batch_scoring", "champion_challenger", "data_ingestion", "many_models"]

DateFormat = Literal["date", "date-time"]

_DATES = {
    "date": (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), "2013-02-01"),
    "date-time": (
        re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})"),
        "2013-02-01T06:00:00Z",
    ),
}
_NUMERIC = ("integer", "number")


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        try:
            return int(value.strip())
        except ValueError:
            return None
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _boolean(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


_READERS = {"string": _string, "integer": _integer, "number": _number, "boolean": _boolean}
_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a finite number",
    "boolean": "true or false",
}


class Parameter(Strict, frozen=True, kw_only=True):
    """A scalar input of a pipeline or a component.

    :param default: ``None``: a value must be given, unless ``optional``.
    :param min: smallest allowed value, of a number only.
    :param max: largest allowed value, of a number only.
    :param enum: the only allowed values; empty: all.
    :param optional: no value at all (``None``) is allowed.
    :param format: of text that is a date (``2013-02-01``) or a moment (``2013-02-01T06:00:00Z``).
    :param earliest: first allowed date, of a date only.
    :param latest: last allowed date, of a date only.
    """

    type: ScalarType
    default: Scalar = None
    min: int | float | None = None
    max: int | float | None = None
    enum: tuple[Scalar, ...] = ()
    description: str = ""
    optional: bool = False
    format: DateFormat | None = None
    earliest: str | None = None
    latest: str | None = None

    @property
    def is_required(self) -> bool:
        """Whether a run cannot start without a value."""
        return self.default is None and not self.optional

    def normalise(self, value: object) -> Scalar:
        """Return the value in the declared type, so that ``1``, ``1.0`` and ``"1"`` are one number.

        Text that reads as the declared type is taken (a command line knows nothing else).

        :raises ParameterError: in plain words, without the parameter's name: the caller knows it.
        """
        if value is None and self.optional:
            return None
        typed: Scalar = _READERS[self.type](value)
        if typed is None:
            raise ParameterError(f"must be {_WORDS[self.type]}, got {value!r}.")
        self._check_range(typed)
        if self.format is not None:
            self._check_date(str(typed))
        if self.enum and typed not in self.enum:
            raise ParameterError(f"must be one of {', '.join(repr(item) for item in self.enum)}, got {value!r}.")
        return typed

    def _check_range(self, value: Scalar) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        if self.min is not None and value < self.min:
            raise ParameterError(f"must be at least {self.min}, got {value!r}.")
        if self.max is not None and value > self.max:
            raise ParameterError(f"must be at most {self.max}, got {value!r}.")

    def _check_date(self, text: str) -> None:
        assert self.format is not None
        pattern, example = _DATES[self.format]
        try:
            if not pattern.fullmatch(text):
                raise ValueError
            datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            raise ParameterError(f"must be a {self.format} such as {example}, got {text!r}.") from None
        if self.earliest is not None and text < self.earliest:
            raise ParameterError(f"must not be before {self.earliest}, got {text!r}.")
        if self.latest is not None and text > self.latest:
            raise ParameterError(f"must not be after {self.latest}, got {text!r}.")


class StepOptions(Strict, frozen=True, kw_only=True):
    """What Airflow is told about a step; none of it counts for the step's identity. ``None``: the pipeline's default.

    :param run_after: jobs that must end first although no data flows (Azure ML SDK v1's ``StepSequence``).
    :param display_name: shown in place of the step's name.
    :param documentation: shown with the task, Markdown.
    :param retry_delay: seconds between tries.
    :param execution_timeout: seconds after which Airflow ends the task; ``Step.timeout`` ends the job itself.
    :param on_failure: function to call, ``module.function``; ``on_success`` and ``on_retry`` likewise.
    """

    run_after: tuple[str, ...] = ()
    display_name: str = ""
    documentation: str = ""
    retries: int | None = None
    retry_delay: float | None = None
    pool: str | None = None
    queue: str | None = None
    priority_weight: int | None = None
    execution_timeout: float | None = None
    on_failure: str | None = None
    on_success: str | None = None
    on_retry: str | None = None


class Schedule(Strict, frozen=True, kw_only=True):
    """When a pipeline starts by itself; exactly one of ``expression``, ``every``, ``assets`` and ``data`` is set.

    :param expression: five cron fields or an Airflow preset (``@monthly``).
    :param every: seconds between starts, counted from the start date.
    :param assets: registered datasets and models, ``dataset/<name>``; a run starts when each has a new version.
    :param data: a place in a datastore; a run starts when what lies there has changed and come to rest.
    :param poll_interval: seconds between two looks at ``data``.
    :param time_zone: IANA name in which ``expression`` and naive dates are meant.
    """

    expression: str | None = None
    every: float | None = None
    assets: tuple[str, ...] = ()
    data: str | None = None
    poll_interval: float = 300.0
    time_zone: str = "UTC"


class AirflowBlock(Strict, frozen=True, kw_only=True):
    """The ``airflow:`` block at the top of a pipeline. ``None``: not said.

    :param start_date: naive: in the schedule's time zone.
    :param end_date: like ``start_date``.
    :param retry_delay: seconds.
    :param on_failure: function to call when a run has failed, ``module.function``; ``on_success`` likewise.
    """

    schedule: Schedule | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    catchup: bool = False
    max_active_runs: int | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    retries: int | None = None
    retry_delay: float | None = None
    pool: str | None = None
    queue: str | None = None
    on_failure: str | None = None
    on_success: str | None = None
    template: Template = "general"
    dag_id: str | None = None


class PipelineSpec(Strict, frozen=True, kw_only=True):
    """A pipeline, ready to be planned, generated or run.

    :param source: the pipeline file, or the schedule file, as it was named by the caller.
    :param base: the folder in which relative paths of steps start, where it is not that of ``source``.
    :param name: dag id.
    :param parameters: the scalar inputs, in the order of the file.
    :param steps: in topological order; steps that are ready together keep the order of the file.
    :param step_options: one for each step.
    :param lines: line of each step's job in its file.
    :param step_groups: of a step inside a group: the groups, the outermost first; its name is these and the job's,
        joined by dots.
    :param files: the file of a step's job, relative to :attr:`folder`, where it is not ``source``.
    :param warnings: what Azure ML would honour and we do not.
    """

    source: Path
    base: Path | None = None
    name: str
    display_name: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    step_options: dict[str, StepOptions] = field(default_factory=dict)
    airflow: AirflowBlock = field(default_factory=AirflowBlock)
    step_groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    warnings: tuple[Fault, ...] = ()

    @property
    def data_inputs(self) -> dict[str, InputData]:
        """The data inputs of the pipeline that steps read; a run may give each another address."""
        values = (value for step in self.steps for value in step.inputs.values())
        return {value.parameter: value for value in values if isinstance(value, InputData) and value.parameter}

    @property
    def folder(self) -> Path:
        """The folder in which relative paths of steps start."""
        return self.base or self.source.parent

    def groups(self, step: str) -> tuple[str, ...]:
        """Return the groups that a step lies in, the outermost first."""
        return self.step_groups.get(step, ())
