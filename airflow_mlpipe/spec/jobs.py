"""First look at a job: its kind, its raw model, its component, its outputs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.components import Component, ComponentReader
from airflow_mlpipe.spec.control import Control, Given
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import JobAirflowKeys
from airflow_mlpipe.spec.job_documents import CommandJob, DataTransferJob, JobKeys, ParallelJob
from airflow_mlpipe.spec.later_documents import LATER_JOBS
from airflow_mlpipe.spec.later_kinds import NOT_YET
from airflow_mlpipe.spec.nested_documents import PipelineJob
from airflow_mlpipe.spec.outputs import OutputBinder
from airflow_mlpipe.spec.paths import Source
from airflow_mlpipe.spec.ports import check_port_name
from airflow_mlpipe.spec.scope import Outputs, Produced, qualified
from airflow_mlpipe.spec.structure import describe, known, validate

JOB_MODELS: dict[str, type[JobKeys]] = {
    "command": CommandJob,
    "parallel": ParallelJob,
    "data_transfer": DataTransferJob,
    "pipeline": PipelineJob,
    **LATER_JOBS,
}
MAX_NAME = 250
"""Airflow's limit for dag and task ids."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_DAG_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_COMPONENTS_OWN = ("command", "code", "environment", "additional_includes", "is_deterministic", "distribution", "task")


@dataclass(frozen=True)
class Draft:
    """A job on its way to a step, or to the steps of a pipeline inside the pipeline.

    :param keys: the raw job without what was wrong, ``None`` if too little is left of it.
    :param outputs: ``None`` if they cannot be known.
    :param inner: the jobs of a pipeline.
    :param control: of a job that decides about others; ``inner`` are then the rounds of a loop.
    :param overrides: inputs that another job gives to this one, and where that is written.
    """

    name: str
    kind: str
    place: Place
    keys: JobKeys | None = None
    component: Component | None = None
    outputs: Outputs | None = None
    inner: dict[str, Draft] | None = None
    control: Control | None = None
    overrides: Given = field(default_factory=dict)

    @property
    def airflow(self) -> JobAirflowKeys:
        """What its ``airflow`` block says."""
        keys = self.control.keys if self.control else self.keys
        return (keys.airflow if keys else None) or JobAirflowKeys()


@dataclass(frozen=True)
class Frame:
    """Where jobs are written.

    :param source: the pipeline or the component that holds them.
    :param group: qualified name of the job that this pipeline is, empty at the top.
    :param trail: the component files that led here.
    """

    source: Source
    group: str = ""
    trail: tuple[str, ...] = ()


def is_dag_id(name: str) -> bool:
    """Return whether Airflow takes the name as a dag id and it is plain ASCII."""
    return bool(_DAG_ID.fullmatch(name)) and len(name) <= MAX_NAME


class DraftReader:
    """Reads the jobs of one pipeline, without looking into the pipelines inside it."""

    def __init__(self, components: ComponentReader, outputs: OutputBinder, frame: Frame, faults: Faults) -> None:
        self._components = components
        self._outputs = outputs
        self._frame = frame
        self._faults = faults

    def read(self, name: str, data: Any, place: Place, writer: str = "") -> Draft:
        """Read one job; what is wrong is noted and the rest kept.

        :param writer: the job's name in the file, where it is read once for each round of a loop.
        """
        self._check_name(name, place)
        unknown = Draft(name, "", place)
        if not isinstance(data, dict):
            self._faults.add(place, "MLP023", f"must be a mapping of keys, got {describe(data)}.")
            return unknown
        component = None
        if "component" in data and data.get("type") not in LATER_JOBS:
            component = self._components.read(data["component"], place / "component", self._frame.source)
        kind = self._kind(data, component, place)
        if kind is None:
            return unknown
        keys = validate(JOB_MODELS[kind], data, place, self._faults)
        by_component = "component" in data and kind not in LATER_JOBS
        if by_component:
            self._check_beside_component(data, place)
        elif kind == "pipeline":
            text = "the key 'component' is missing: the file with the pipeline's inputs, outputs and jobs."
            self._faults.add(place, "MLP022", text, of_key=True)
            return unknown
        fits = component is None or component.kind == kind
        if component is not None and not fits:
            text = f"the component is of type '{component.kind}', the job of type '{kind}'."
            self._faults.add(place / "component", "MLP025", text)
        if keys is None or not fits or (by_component and component is None):
            return Draft(name, kind, place, keys, component)
        return Draft(
            name, kind, place, keys, component, self._read_outputs(name, keys, component, (place, writer or name))
        )

    def _check_name(self, name: str, place: Place) -> None:
        full = qualified(self._frame.group, name)
        if not _NAME.fullmatch(name) or len(full) > MAX_NAME:
            rule = f"letters, digits, '_', '-', '.', first a letter or '_', at most {MAX_NAME} characters"
            self._faults.add(place, "MLP030", f"'{full}' cannot be the name of a job; {rule}.", of_key=True)

    def _kind(self, data: dict[str, Any], component: Component | None, place: Place) -> str | None:
        kind = data.get("type")
        if "type" not in data:
            if component is not None:
                return component.kind
            if "component" in data or "command" in data:
                return "command"
            self._faults.add(
                place, "MLP022", "the key 'type' is missing: 'command', 'parallel' or 'data_transfer'.", of_key=True
            )
            return None
        if isinstance(kind, str) and kind in LATER_JOBS:
            why = f"jobs of type '{kind}' cannot be run yet, a run will be refused at its start: {NOT_YET[kind]}."
            self._faults.add(place / "type", "MLP208", why)
        if isinstance(kind, str) and kind in JOB_MODELS:
            return kind
        hint = known(str(kind), list(JOB_MODELS))
        self._faults.add(place / "type", "MLP024", f"must be the type of a job, got {describe(kind)}.{hint}")
        return None

    def _check_beside_component(self, data: dict[str, Any], place: Place) -> None:
        for key in _COMPONENTS_OWN:
            if key in data:
                self._faults.add(place / key, "MLP025", "belongs to the component; this job names one.", of_key=True)

    def _read_outputs(
        self, name: str, keys: JobKeys, component: Component | None, written: tuple[Place, str]
    ) -> Outputs:
        place, writer = written
        declared = component.outputs if component else {}
        given = keys.outputs or {}
        optional = set(keys.airflow.optional_outputs) if keys.airflow else set()
        exports = isinstance(keys, DataTransferJob)
        step = qualified(self._frame.group, name)
        result: Outputs = {}
        for port in [*declared, *(port for port in given if port not in declared)]:
            here = place / "outputs" / port
            check_port_name(port, here, self._faults) if port in given else None
            if component is not None and port not in declared:
                hint = known(port, list(declared))
                self._faults.add(here, "MLP112", f"the component has no output '{port}'.{hint}", of_key=True)
            output = self._outputs.bind(given.get(port), here, declared.get(port), f"{writer}.{port}", exports)
            result[port] = Produced(step, port, replaced(output, optional=port in optional))
        for number, port in enumerate(keys.airflow.optional_outputs if keys.airflow else ()):
            if port not in result:
                here = place / "airflow" / "optional_outputs" / number
                self._faults.add(here, "MLP116", f"the job has no output '{port}'.{known(port, list(result))}")
        return result
