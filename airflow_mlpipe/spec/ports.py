"""Declared inputs of pipelines and components: data or typed scalars, in their short and long forms."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast, get_args

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.diagnostics import Faults, Place, did_you_mean
from airflow_mlpipe.spec.documents import InputKeys, Mode
from airflow_mlpipe.spec.model import Parameter
from airflow_mlpipe.spec.paths import Source, data_path
from airflow_mlpipe.spec.step import DataType, Scalar, ScalarType
from airflow_mlpipe.spec.structure import describe, validate

SCALAR_TYPES = get_args(ScalarType)
DATA_TYPES = get_args(DataType)
RESERVED_INPUTS = frozenset({"reuse", "reuse_steps"})
"""Inputs of our own that every generated DAG has."""

_PORT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class ScalarPort:
    """A declared scalar."""

    parameter: Parameter

    @property
    def is_optional(self) -> bool:
        """Whether it may be absent."""
        return self.parameter.optional and self.parameter.default is None


@dataclass(frozen=True)
class DataPort:
    """Declared data; ``path`` only for an input of a pipeline."""

    type: DataType
    mode: Mode | None = None
    is_optional: bool = False
    path: str | None = None


Port = ScalarPort | DataPort


def check_port_name(name: str, place: Place, faults: Faults) -> None:
    """Note a fault unless the name can be a port."""
    if not _PORT.fullmatch(name):
        allowed = "a name is made of letters, digits and '_', and does not begin with a digit"
        faults.add(place, "MLP030", f"'{name}' cannot be the name of an input or output; {allowed}.", of_key=True)


def scalar_type(value: object) -> ScalarType | None:
    """Return the type of a literal, ``None`` if it is not a scalar."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else None


def typed(parameter: Parameter, value: object, place: Place, faults: Faults, code: str = "MLP131") -> Scalar:
    """Return a literal in the type of a parameter; text counts as it was written (``1.10`` stays ``1.10``)."""
    if parameter.type == "string" and isinstance(value, bool | int | float) and place.text is not None:
        value = place.text
    try:
        return parameter.normalise(value)
    except ParameterError as error:
        faults.add(place, code, str(error))
        return None


def finite(value: Scalar, place: Place, faults: Faults) -> Scalar:
    """Refuse ``.inf`` and ``.nan``, which neither a DAG file nor JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        faults.add(
            place, "MLP024", f"must be a finite number, got {place.text or value}. Put it in quotes if it is text."
        )
        return None
    return value


def _type_of(keys: InputKeys, place: Place, faults: Faults) -> str | None:
    if keys.type is None:
        if keys.path is not None:
            return "uri_folder"
        found = scalar_type(keys.default)
        if found is None:
            faults.add(place, "MLP022", "the key 'type' is missing.", of_key=True)
        return found
    allowed = (*SCALAR_TYPES, *DATA_TYPES)
    if keys.type in allowed:
        return str(keys.type)
    hint = did_you_mean(str(keys.type), allowed)
    faults.add(place / "type", "MLP024", f"must be one of {', '.join(allowed)}, got {describe(keys.type)}.{hint}")
    return None


def _refuse_keys(keys: InputKeys, names: tuple[str, ...], why: str, place: Place, faults: Faults) -> None:
    for name in names:
        if name in keys.model_fields_set:
            faults.add(place / name, "MLP025", why, of_key=True)


def _data_port(keys: InputKeys, kind: str, source: Source, place: Place, faults: Faults) -> DataPort:
    _refuse_keys(keys, ("default", "min", "max", "enum"), "belongs to scalar inputs; this one is data.", place, faults)
    return DataPort(
        type=cast(DataType, kind),
        mode=keys.mode,
        is_optional=keys.optional,
        path=data_path(keys.path, source, place / "path", faults) if keys.path is not None else None,
    )


def _scalar_port(keys: InputKeys, kind: str, place: Place, faults: Faults) -> ScalarPort:
    _refuse_keys(keys, ("path", "mode"), f"belongs to data inputs; this one is of type {kind}.", place, faults)
    numeric = kind in ("integer", "number")
    if not numeric:
        _refuse_keys(keys, ("min", "max"), f"belongs to numbers; this input is of type {kind}.", place, faults)
    if numeric and keys.min is not None and keys.max is not None and keys.min > keys.max:
        faults.add(place / "min", "MLP024", f"must be at most max ({keys.max}), got {keys.min}.")
    low, high = (keys.min, keys.max) if numeric else (None, None)
    plain = Parameter(type=cast(ScalarType, kind), min=low, max=high)
    parameter = replaced(
        plain,
        enum=tuple(
            typed(plain, item, place / "enum" / number, faults, "MLP130") for number, item in enumerate(keys.enum)
        ),
        description=keys.description,
        optional=keys.optional,
    )
    if keys.default is not None:
        default = typed(parameter, keys.default, place / "default", faults, "MLP130")
        parameter = replaced(parameter, default=default)
    return ScalarPort(parameter)


def read_port(value: Any, place: Place, source: Source, faults: Faults) -> Port | None:
    """Read one declared input; ``None`` if it is wrong."""
    if not isinstance(value, dict):
        short = scalar_type(value)
        if short is None:
            faults.add(place, "MLP023", f"must be a value or a mapping with 'type', got {describe(value)}.")
            return None
        return ScalarPort(Parameter(type=short, default=finite(value, place, faults)))
    keys = validate(InputKeys, value, place, faults)
    kind = _type_of(keys, place, faults) if keys is not None else None
    if keys is None or kind is None:
        return None
    if kind in DATA_TYPES:
        return _data_port(keys, kind, source, place, faults)
    return _scalar_port(keys, kind, place, faults)


def read_pipeline_inputs(
    data: dict[str, Any] | None, source: Source, faults: Faults, given: Collection[str] = ()
) -> dict[str, Port | None]:
    """Read the inputs of a pipeline; a wrong one is ``None``, so that references to it are not faults too.

    :param given: inputs that a schedule gives.
    """
    ports: dict[str, Port | None] = {}
    for name, value in (data or {}).items():
        place = source.place / "inputs" / name
        check_port_name(name, place, faults)
        if name in RESERVED_INPUTS:
            faults.add(
                place,
                "MLP031",
                f"'{name}' is an input that every pipeline has already; choose another name.",
                of_key=True,
            )
        port = read_port(value, place, source, faults)
        if isinstance(port, DataPort) and port.path is None and name not in given and not (place / "path").text:
            faults.add(
                place,
                "MLP022",
                "the key 'path' is missing: a data input of a pipeline says where the data is.",
                of_key=True,
            )
        ports[name] = port
    return ports


def read_component_inputs(data: dict[str, Any] | None, source: Source, faults: Faults) -> dict[str, Port | None]:
    """Read the inputs of a component; a wrong one is ``None``."""
    ports: dict[str, Port | None] = {}
    for name, value in (data or {}).items():
        place = source.place / "inputs" / name
        check_port_name(name, place, faults)
        ports[name] = port = read_port(value, place, source, faults)
        if isinstance(port, DataPort) and isinstance(value, dict) and "path" in value:
            faults.add(place / "path", "MLP025", "belongs to the job that uses the component.", of_key=True)
    return ports
