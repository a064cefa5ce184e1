"""Values that a run brings, put in place as data and never as text of a program."""

from __future__ import annotations

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.spec import expressions
from airflow_mlpipe.spec.expressions import OutputRef, ParameterRef, RunFieldRef
from airflow_mlpipe.spec.step import Scalar


def resolve_value(value: Scalar, run: RunInfo, where: str) -> Scalar:
    """Return a literal as it is, and a binding as the run's value.

    A string that is one binding takes the value's own type; bindings inside a longer string become text.

    :param value: as the author wrote it.
    :param run: brings parameters and run fields.
    :param where: named in errors, ``step train, input lr``.
    :raises ParameterError: if the run lacks what is asked for.
    """
    if not isinstance(value, str) or "${{" not in value:
        return value
    try:
        parts = expressions.parse(value)
    except ValueError as error:
        raise ParameterError(f"{where}: {error}") from None
    resolved = [part if isinstance(part, str) else _look_up(part, run, where) for part in parts]
    if len(resolved) == 1:
        return resolved[0]
    return "".join(_text(item) for item in resolved)


def resolve_parameters(parameters: dict[str, Scalar], run: RunInfo) -> dict[str, Scalar]:
    """Return parameters with the bindings in them resolved: a default may be ``${{airflow.data_interval_start}}``.

    :raises ParameterError: naming the parameter that this run must be given.
    """
    return {
        name: resolve_value(
            value, run, f"parameter {name} (give it in the trigger form, in conf or as --param {name}=...)"
        )
        for name, value in parameters.items()
    }


def _text(value: Scalar) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_text(value: Scalar) -> str:
    """Return a value as a command line shows it; booleans are ``true`` and ``false``, as in YAML."""
    return _text(value)


def _look_up(part: object, run: RunInfo, where: str) -> Scalar:
    if isinstance(part, ParameterRef):
        if part.name not in run.parameters:
            known = ", ".join(sorted(run.parameters)) or "none"
            raise ParameterError(f"{where}: the run has no parameter {part.name!r}. It has: {known}.")
        return run.parameters[part.name]
    if isinstance(part, RunFieldRef):
        value = run.fields.get(part.name)
        if value is None:
            raise ParameterError(
                f"{where}: this run has no {part.name}. A run that is triggered without a logical date has no dates; "
                "give the value as a parameter, or trigger the run with a logical date."
            )
        return value
    if isinstance(part, OutputRef):
        raise ParameterError(
            f"{where}: the output {part.port!r} of {part.job!r} is data: it must stand alone, not inside a text."
        )
    raise ParameterError(f"{where}: {part} has no meaning here.")
