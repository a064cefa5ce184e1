"""A step with everything looked up: its identity follows from this and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from airflow_mlpipe.environment import EnvironmentDefinition
from airflow_mlpipe.execution.bindings import resolve_value
from airflow_mlpipe.execution.inputs import InputResolver, OutputsOf, ResolvedInput
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.selection import select
from airflow_mlpipe.execution.values import read_value
from airflow_mlpipe.fingerprint import SCHEMA_VERSION, Fingerprint, SharedPart
from airflow_mlpipe.frozen import keys
from airflow_mlpipe.snapshot import Snapshot, take_snapshot
from airflow_mlpipe.spec.step import NOT_IN_IDENTITY, InputData, OutputData, Scalar, Step
from airflow_mlpipe.tracking.base import InputSource
from airflow_mlpipe.workspace import Workspace

_OWN_PARTS = frozenset(
    {"code", "additional_includes", "inputs", "outputs", "environment", "environment_variables", "reuse_version"}
)
_COUNTING = tuple(name for name in keys(Step) if name not in _OWN_PARTS | NOT_IN_IDENTITY)


@dataclass(frozen=True)
class ResolvedStep:
    """A step whose inputs, code and environment are known.

    :param step: as the author wrote it.
    :param data: port to data; an optional input that is not there is absent.
    :param values: port to literal; an optional one without value is absent.
    :param variables: the user's own environment variables.
    :param code: the source folder as it is now, ``None`` if the step has none.
    :param environment: declared software, ``None`` for the target's default.
    :param fingerprint: the identity.
    """

    step: Step
    data: Mapping[str, ResolvedInput]
    values: Mapping[str, Scalar]
    variables: Mapping[str, Scalar]
    code: Snapshot | None
    environment: EnvironmentDefinition | None
    fingerprint: Fingerprint

    @property
    def sources(self) -> list[InputSource]:
        """Where the counting inputs lie and what they hold."""
        return [
            InputSource(
                port=port,
                datastore=item.datastore,
                path=item.path,
                include=list(item.include) if item.include is not None else None,
                digest=item.content.digest,
            )
            for port, item in self.data.items()
            if item.counts
        ]

    @property
    def lineage(self) -> dict[str, str]:
        """Port to ``name:version`` or address, for every data input."""
        return {port: item.origin for port, item in self.data.items()}


TakeSnapshot = Callable[[Path, Sequence[str], Path], Snapshot]
"""Reads a source folder: folder, additional includes, and the folder that these start from."""


class SnapshotCache:
    """Reads each source folder once, for steps that are looked at together and share their code."""

    def __init__(self) -> None:
        self._taken: dict[tuple[Path, tuple[str, ...]], Snapshot] = {}

    def __call__(self, folder: Path, includes: Sequence[str], base: Path) -> Snapshot:
        """Return the snapshot of a source folder."""
        key = (folder, tuple(includes))
        if key not in self._taken:
            self._taken[key] = take_snapshot(folder, includes, base)
        return self._taken[key]


def resolve_step(
    workspace: Workspace, step: Step, run: RunInfo, outputs_of: OutputsOf, snapshot: TakeSnapshot = take_snapshot
) -> ResolvedStep:
    """Look up everything that a step's identity depends on.

    :param outputs_of: gives what upstream steps left in this run.
    :param snapshot: reads the source folder.
    :raises NotYetKnownError: if an upstream step has not ended.
    :raises DataError: if an input or the code is missing.
    :raises ParameterError: if the run lacks a parameter or field.
    :raises ConfigError: if the workspace lacks a datastore or environment.
    """
    data, values = resolve_inputs(workspace, step, run, outputs_of)
    variables = {
        name: resolve_value(value, run, f"step {step.name}, environment variable {name}")
        for name, value in step.environment_variables.items()
    }
    code = snapshot(run.base / step.code, step.additional_includes, run.base) if step.code is not None else None
    environment = workspace.environment(step.environment, run.base)
    parts = _parts(step, data, {"values": values, "variables": variables}, code)
    parts["environment"] = _environment_part(workspace, step, environment)
    return ResolvedStep(step, data, values, variables, code, environment, Fingerprint(parts))


def resolve_inputs(
    workspace: Workspace, step: Step, run: RunInfo, outputs_of: OutputsOf
) -> tuple[dict[str, ResolvedInput], dict[str, Scalar]]:
    """Look up the inputs of a step: data by port, and values by port; what is absent is in neither.

    :raises NotYetKnownError: if an upstream step has not ended.
    :raises DataError: if data is missing, or is not the value that it should be.
    :raises ParameterError: if the run lacks a parameter or field.
    """
    resolver = InputResolver(workspace, run, outputs_of)
    data: dict[str, ResolvedInput] = {}
    values: dict[str, Scalar] = {}
    for port, value in step.inputs.items():
        where = f"step {step.name}, input {port}"
        literal: Scalar = None
        if isinstance(value, InputData):
            found = resolver.resolve(value, where)
            chosen = None if found is None else select(workspace, found, value, where)
            if chosen is not None and value.value is not None:
                literal = read_value(workspace, chosen, value.value, where)
            elif chosen is not None:
                data[port] = chosen
        else:
            literal = resolve_value(value, run, where)
        if literal is not None:
            values[port] = literal
    return data, values


def _parts(
    step: Step, data: Mapping[str, ResolvedInput], given: Mapping[str, Mapping[str, Scalar]], code: Snapshot | None
) -> dict[str, Any]:
    definition = {name: to_builtins(getattr(step, name)) for name in _COUNTING}
    if step.distribution is None:  # results of versions that did not know it stay valid
        del definition["distribution"]
    return {
        "schema": SCHEMA_VERSION,
        "step": definition,
        "code": code.identity() if code else {},
        "inputs": {
            port: {"type": item.type, "digest": item.content.digest} for port, item in data.items() if item.counts
        },
        "parameters": dict(given["values"]),
        "variables": dict(given["variables"]),
        "outputs": {port: _output_part(output) for port, output in step.outputs.items()},
        "reuse_version": step.reuse_version,
    }


def _output_part(output: OutputData) -> dict[str, Any]:
    part: dict[str, Any] = {"type": output.type, "optional": output.optional}
    return part if output.path is None else part | {"path": output.path}


def _environment_part(workspace: Workspace, step: Step, environment: EnvironmentDefinition | None) -> dict[str, Any]:
    if step.type == "data_transfer":
        return {}
    if environment is not None:
        return environment.identity()
    return _shared_part(tuple(workspace.compute(step.compute).software().items()))


@cache
def _shared_part(packages: tuple[tuple[str, str], ...]) -> SharedPart:
    return SharedPart(dict(packages))
