"""``airflow: {params: ...}``: inputs of a pipeline that are dates, which Azure ML has no type for."""

from __future__ import annotations

from typing import Any

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.diagnostics import Faults, Place, did_you_mean
from airflow_mlpipe.spec.documents import DateKeys
from airflow_mlpipe.spec.model import Parameter
from airflow_mlpipe.spec.ports import Port, ScalarPort
from airflow_mlpipe.spec.structure import describe, validate


def with_dates(
    inputs: dict[str, Port | None], params: dict[str, Any], pipeline: Place, faults: Faults
) -> dict[str, Port | None]:
    """Return the inputs of a pipeline, those that ``params`` names as dates.

    :param pipeline: place of the pipeline file's mapping.
    """
    found = dict(inputs)
    for name, value in params.items():
        place = pipeline / "airflow" / "params" / name
        keys = validate(DateKeys, value, place, faults)
        if name not in inputs:
            hint = did_you_mean(name, inputs)
            faults.add(place, "MLP101", f"the pipeline has no input '{name}'.{hint}", of_key=True)
        elif keys is not None and (port := inputs[name]) is not None:
            found[name] = _dated(port, keys, place, faults) or port
            _check_default(found[name], pipeline / "inputs" / name / "default", faults)
    return found


def _dated(port: Port, keys: DateKeys, place: Place, faults: Faults) -> ScalarPort | None:
    if not isinstance(port, ScalarPort) or port.parameter.type != "string":
        faults.add(place, "MLP025", "only an input of type string can be a date.", of_key=True)
        return None
    limits = {name: _limit(getattr(keys, name), keys, place / name, faults) for name in ("min", "max")}
    first, last = limits["min"], limits["max"]
    if first is not None and last is not None and first > last:
        faults.add(place / "max", "MLP142", "lies before 'min'.")
    return ScalarPort(replaced(port.parameter, format=keys.format, earliest=first, latest=last))


def _limit(value: Any, keys: DateKeys, place: Place, faults: Faults) -> str | None:
    if value is None:
        return None
    if keys.format != "date":
        faults.add(place, "MLP025", "belongs to dates; moments are written in many time zones.", of_key=True)
        return None
    try:
        return str(Parameter(type="string", format="date").normalise(value))
    except ParameterError:
        faults.add(place, "MLP142", f"must be a date such as 2013-02-01, got {describe(value)}.")
        return None


def _check_default(port: Port | None, place: Place, faults: Faults) -> None:
    """A default that the run brings is whatever the run brings."""
    default = port.parameter.default if isinstance(port, ScalarPort) else None
    if default is None or "${{" in str(default) or not isinstance(port, ScalarPort):
        return
    try:
        port.parameter.normalise(default)
    except ParameterError as error:
        faults.add(place, "MLP130", str(error))
