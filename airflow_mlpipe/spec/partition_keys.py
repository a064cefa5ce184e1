"""``airflow: {partitions: ..., identity: ...}`` of a job: what is said about single data inputs."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.bindings import parsed
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import JobAirflowKeys, PartitionKeys
from airflow_mlpipe.spec.expressions import ParameterRef, RunFieldRef
from airflow_mlpipe.spec.ports import ScalarPort
from airflow_mlpipe.spec.scope import Scope
from airflow_mlpipe.spec.step import InputData, InputValue, Partitions
from airflow_mlpipe.spec.structure import describe, known, validate
from airflow_mlpipe.spec.times import date

_DATE_FIELDS = frozenset({"data_interval_start", "data_interval_end", "logical_date", "ds", "ts", "partition_key"})
_STRFTIME = re.compile(r"%([YymdHMSjUWGV%])|%(.?)", re.DOTALL)


def _expression(text: str, place: Place, wanted: str, scope: Scope, faults: Faults) -> int | str | None:
    """Return the canonical text of ``${{parent.inputs.x}}`` or a date field of the run; ``None`` if it is neither."""
    parts = parsed(text, place, faults)
    if parts is None:
        return None
    ref = parts[0] if len(parts) == 1 else None
    if isinstance(ref, RunFieldRef) and wanted == "string" and ref.name in _DATE_FIELDS:
        return str(ref)
    if not isinstance(ref, ParameterRef):
        allowed = "a date or one of the run's date fields" if wanted == "string" else "a whole number"
        faults.add(place, "MLP041", f"must be '${{{{parent.inputs.<name>}}}}' or {allowed}, got {describe(text)}.")
        return None
    if ref.name not in scope.inputs:
        faults.add(place, "MLP101", f"'{ref}' names no input of the pipeline.{known(ref.name, list(scope.inputs))}")
        return None
    given = scope.inputs[ref.name]
    if given is not None and not (isinstance(given, ScalarPort) and given.parameter.type == wanted):
        faults.add(place, "MLP106", f"'{ref}' must be an input of type {wanted}.")
    value = scope.value(ref)
    return value if isinstance(value, str | int) else None


def _anchor(text: str, place: Place, scope: Scope, faults: Faults) -> str | None:
    if "${{" in text:
        found = _expression(text, place, "string", scope, faults)
        return found if isinstance(found, str) else None
    return text if date(text, place, faults) is not None else None


def _count(value: Any, smallest: int, place: Place, scope: Scope, faults: Faults) -> int | str | None:
    if isinstance(value, str) and "${{" in value:
        return _expression(value, place, "integer", scope, faults)
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        text = (
            f"must be a whole number of at least {smallest}, or '${{{{parent.inputs.<name>}}}}', got {describe(value)}."
        )
        faults.add(place, "MLP024", text)
        return None
    return value


def _files(text: str, place: Place, faults: Faults) -> None:
    if text.startswith("/") or ".." in text.split("/") or posixpath.normpath(text) != text:
        faults.add(place, "MLP124", f"'{text}' must be a plain path relative to the input, such as flights-%Y-%m.csv.")
    for match in _STRFTIME.finditer(text):
        if match[1] is None:
            faults.add(
                place, "MLP024", f"'%{match[2]}' is not a field of a date here; allowed: %Y %m %d %H %j and the like."
            )


def _partitions(value: Any, place: Place, scope: Scope, faults: Faults) -> Partitions | None:
    keys = validate(PartitionKeys, value, place, faults)
    if keys is None:
        return None
    _files(keys.files, place / "files", faults)
    anchor = _anchor(keys.anchor, place / "anchor", scope, faults)
    count = _count(keys.count, 1, place / "count", scope, faults)
    ahead = _count(keys.ahead, 0, place / "ahead", scope, faults)
    if anchor is None or count is None or ahead is None:
        return None
    return Partitions(files=keys.files, every=keys.every, anchor=anchor, count=count, ahead=ahead)


def _patterns(values: list[str], place: Place, faults: Faults) -> tuple[str, ...]:
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - slow to import, and few inputs have patterns

    for number, value in enumerate(values):
        try:
            GitIgnoreSpec.from_lines([value])
        except ValueError as error:
            faults.add(place / number, "MLP024", f"'{value}' is no pattern of .gitignore: {error}.")
            continue
        if value.startswith(("!", "#")) or not value.strip() or "\n" in value:
            text = f"'{value}' chooses nothing; write a pattern such as '*.csv' or '2013/**'."
            faults.add(place / number, "MLP024", text)
    return tuple(values)


def apply_input_keys(
    inputs: dict[str, InputValue], keys: JobAirflowKeys, place: Place, scope: Scope, faults: Faults
) -> dict[str, InputValue]:
    """Return the inputs with their partitions, identities and patterns.

    :param place: of the job's ``airflow`` block.
    """
    result = dict(inputs)
    blocks: dict[str, dict[str, Any]] = {
        "partitions": keys.partitions,
        "identity": dict(keys.identity),
        "include": dict(keys.include),
        "exclude": dict(keys.exclude),
    }
    for block, port, value in [
        (block, port, value) for block, values in blocks.items() for port, value in values.items()
    ]:
        here = place / block / port
        data = _data_input(result, port, here, faults)
        update: Any = value
        if block == "partitions":
            update = _partitions(value, here, scope, faults)
        elif block in ("include", "exclude"):
            update = _patterns(value, here, faults)
        if data is not None:
            result[port] = replaced(data, **{block: update})
    return result


def _data_input(inputs: dict[str, InputValue], port: str, place: Place, faults: Faults) -> InputData | None:
    if port not in inputs:
        faults.add(place, "MLP116", f"the job has no input '{port}'.{known(port, list(inputs))}", of_key=True)
        return None
    value = inputs[port]
    if value is not None and not isinstance(value, InputData):
        faults.add(place, "MLP106", f"the input '{port}' is not data; this belongs to data inputs only.", of_key=True)
    return value if isinstance(value, InputData) else None
