"""``resources:`` and ``distribution:`` of a job, and of its component: what the job says wins, key by key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import DistributionKeys, Resources
from airflow_mlpipe.spec.machines import Machines, ProcessGroup
from airflow_mlpipe.spec.structure import describe

_SIZE = re.compile(r"([0-9]+)\s*([kmgt]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_OURS = ("cpus", "memory", "gpus")
"""What is read of the free-form ``properties``."""

Said = Sequence[tuple[Any, Place]]
"""Raw keys and their places, the one that wins last."""


def machine_fields(kind: str, said: Said, faults: Faults) -> dict[str, Any]:
    """Return the fields of a step that say what hardware it asks for, as far as they are written.

    :param kind: of the job.
    :param said: component and job, each with its place.
    """
    values: dict[str, Any] = {}
    group: ProcessGroup | None = None
    for keys, place in said:
        resources: Resources | None = getattr(keys, "resources", None)
        if resources is not None:
            values |= _resources(kind, resources, place / "resources", faults)
        distribution: DistributionKeys | None = getattr(keys, "distribution", None)
        if distribution is not None:
            group = ProcessGroup(
                type=distribution.type, process_count_per_instance=distribution.process_count_per_instance or 1
            )
    machines = Machines(**values)
    return {"resources": None if machines == Machines() else machines, "distribution": group}


def _resources(kind: str, resources: Resources, place: Place, faults: Faults) -> dict[str, Any]:
    values = _properties(resources.properties, place / "properties", faults)
    if kind == "command":
        return values if resources.instance_count is None else values | {"instance_count": resources.instance_count}
    if (resources.instance_count or 1) > 1:
        why = "mini-batches run in several processes on one machine" if kind == "parallel" else "the worker copies"
        faults.add(place / "instance_count", "MLP201", f"is not used: {why}.")
    return values if kind == "parallel" else {}


def _properties(properties: Any, place: Place, faults: Faults) -> dict[str, Any]:
    """Return our three; the rest belongs to engines of Azure and is named in a warning."""
    if properties is None:
        return {}
    if not isinstance(properties, dict):
        faults.add(place, "MLP023", f"must be a mapping of keys, got {describe(properties)}.")
        return {}
    values: dict[str, Any] = {}
    for key, value in properties.items():
        if key not in _OURS:
            faults.add(place / key, "MLP201", f"is not used; read are {', '.join(_OURS)}.", of_key=True)
            continue
        number = _memory(value) if key == "memory" else value
        least = 0 if key == "gpus" else 1
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            wanted = "bytes or text such as 16g" if key == "memory" else f"a whole number of at least {least}"
            faults.add(place / key, "MLP024", f"must be {wanted}, got {describe(value)}.")
            continue
        values[key] = number
    return values


def _memory(value: Any) -> Any:
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(match[1]) * _UNITS[match[2].lower()] if match else value
