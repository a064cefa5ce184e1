"""The typed parameters of a DAG: the pipeline's inputs and our two switches, as Airflow ``Param`` calls.

A parameter may be left empty (``None``) in two cases: it is optional, or its default belongs to the run
(``${{airflow.data_interval_start}}``). The expression then stands in the Param's schema under :data:`DEFAULT_KEY`,
where the operators find it: ``dag.params.get_param(name).schema.get("mlpipe_default")``.
"""

from __future__ import annotations

from typing import Any

from airflow_mlpipe.generator.date_range import date_range
from airflow_mlpipe.generator.literals import Call
from airflow_mlpipe.spec.expressions import RunFieldRef, parse
from airflow_mlpipe.spec.model import Parameter, PipelineSpec
from airflow_mlpipe.spec.step import DATA_KEY

DEFAULT_KEY = "mlpipe_default"
"""Key in a Param's schema that holds the expression which stands for ``None``."""

ADDRESS = "^azureml:"
"""What a caller may give as the address of a data input: never a path of a machine."""

_SWITCHES = {
    "reuse": Call(
        "Param",
        ("auto",),
        {
            "type": "string",
            "enum": ["auto", "force", "disable"],
            "description": "auto: reuse what is identical; force: run every step, refresh the records; "
            "disable: run every step, leave the records alone.",
        },
    ),
    "reuse_steps": Call(
        "Param",
        ({},),
        {"type": "object", "description": 'The same for single steps: {"train": "force"}.'},
    ),
}


def run_params(spec: PipelineSpec) -> dict[str, Call]:
    """Return the ``params`` of the DAG: the pipeline's own in the order of the file, then our two switches."""
    scalars = {name: _param(parameter) for name, parameter in spec.parameters.items()}
    return {**scalars, **{name: _address() for name in spec.data_inputs}, **_SWITCHES}


def _address() -> Call:
    """A data input: empty, or an address in a datastore or of a registered asset, never a path of a machine."""
    schema = {
        "type": ["string", "null"],
        "pattern": ADDRESS,
        DATA_KEY: True,
        "description": "Empty: as in the pipeline. "
        "Else azureml://datastores/<name>/paths/<path> or azureml:<name>:<version>.",
    }
    return Call("Param", (None,), schema)


def _param(parameter: Parameter) -> Call:
    binding = _binding(parameter.default)
    may_be_empty = parameter.optional or binding is not None
    limits = {"minimum": parameter.min, "maximum": parameter.max}
    schema: dict[str, Any] = {"type": [parameter.type, "null"] if may_be_empty else parameter.type}
    schema |= {key: value for key, value in limits.items() if value is not None}
    if parameter.enum:
        schema["enum"] = [*parameter.enum, *([None] if may_be_empty else [])]
    schema |= _date_schema(parameter)
    if binding is not None:
        schema[DEFAULT_KEY] = binding
    description = _description(parameter, binding)
    if description:
        schema["description"] = description
    return Call("Param", _default(parameter, binding), schema)


def _date_schema(parameter: Parameter) -> dict[str, str]:
    """A format for the form's calendar; JSON Schema has no limits of dates, so they are a pattern."""
    if parameter.format is None:
        return {}
    pattern = date_range(parameter.earliest, parameter.latest)
    return {"format": parameter.format, **({"pattern": pattern} if pattern else {})}


def _default(parameter: Parameter, binding: str | None) -> tuple[Any, ...]:
    if binding is not None or (parameter.optional and parameter.default is None):
        return (None,)
    return () if parameter.default is None else (parameter.default,)


def _description(parameter: Parameter, binding: str | None) -> str:
    empty = ""
    if binding is not None:
        empty = f"Empty: {binding} of the run."
    elif parameter.optional:
        empty = "Empty: not given to the steps."
    limits = {"From": parameter.earliest, "until": parameter.latest}
    words = " ".join(f"{word} {date}" for word, date in limits.items() if date is not None)
    dates = f"{words[:1].upper()}{words[1:]}." if words else ""
    return " ".join(part for part in (parameter.description, dates, empty) if part)


def _binding(default: object) -> str | None:
    """Return the default if the run decides its value; text that only looks like an expression is text."""
    try:
        parts = parse(default) if isinstance(default, str) else ()
    except ValueError:
        return None
    return str(default) if any(isinstance(part, RunFieldRef) for part in parts) else None
