"""From a file to a :class:`PipelineSpec`, or to every fault in it."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.spec.airflow_keys import read_airflow, scheduled
from airflow_mlpipe.spec.components import ComponentReader, read_declared_outputs
from airflow_mlpipe.spec.date_params import with_dates
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import Settings
from airflow_mlpipe.spec.graph import GraphLowerer, finished
from airflow_mlpipe.spec.job_documents import PipelineDocument
from airflow_mlpipe.spec.jobs import Frame, is_dag_id
from airflow_mlpipe.spec.looks import Looks
from airflow_mlpipe.spec.lowered import Lowered
from airflow_mlpipe.spec.lowering import Defaults
from airflow_mlpipe.spec.model import AirflowBlock, Parameter, PipelineSpec
from airflow_mlpipe.spec.nesting import JobsReader, job_outputs, many
from airflow_mlpipe.spec.outputs import OutputBinder
from airflow_mlpipe.spec.paths import Source
from airflow_mlpipe.spec.ports import Port, ScalarPort, read_pipeline_inputs
from airflow_mlpipe.spec.reader import Document, read_document
from airflow_mlpipe.spec.schedule_files import Overrides, is_schedule, read_schedule, refuse_deployment
from airflow_mlpipe.spec.scope import Scope
from airflow_mlpipe.spec.settings import pipeline_defaults
from airflow_mlpipe.spec.structure import texts, validate


def load_pipeline(path: str | Path, looks: Looks | None = None) -> PipelineSpec:
    """Read a pipeline file and its components.

    :param path: the YAML file; its name as given appears in messages.
    :param looks: notes which files and folders the answer depends on.
    :raises SpecError: with every fault at once, by file and position.
    """
    source = Path(path)
    faults = Faults(looks)
    document = read_document(source, str(path), faults)
    spec = _load(source, document, faults) if document is not None else None
    if spec is None or faults.errors:
        raise SpecError(faults.errors)
    return spec


def _load(path: Path, document: Document, faults: Faults) -> PipelineSpec | None:
    if refuse_deployment(document.data, document.root, faults):
        return None
    if not is_schedule(document.data):
        return _Loader(path, document, faults).load()
    found = read_schedule(document.data, Source(document.root, "", path.parent), path.stem, faults)
    if found is None:
        return None
    overrides, relative = found
    file = posixpath.normpath(posixpath.join(posixpath.dirname(document.root.file), relative))
    inner = read_document(path.parent / relative, file, faults)
    return _Loader(path.parent / relative, inner, faults, overrides, path).load() if inner is not None else None


def _section(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


class _Loader:
    """Reads one pipeline; each part is read even if another is wrong.

    :param overrides: what a schedule says in place of the pipeline.
    :param schedule: the schedule file.
    """

    def __init__(
        self,
        path: Path,
        document: Document,
        faults: Faults,
        overrides: Overrides | None = None,
        schedule: Path | None = None,
    ) -> None:
        self._path = path
        self._overrides = overrides
        self._schedule = schedule
        self._data = document.data
        self._place = document.root
        self._faults = faults
        self._source = Source(document.root, "", path.parent)

    def load(self) -> PipelineSpec | None:
        """Return the pipeline, ``None`` when there are errors."""
        faults, place = self._faults, self._place
        keys = validate(PipelineDocument, self._data, place, faults)
        airflow = read_airflow(keys.airflow if keys else None, place / "airflow", faults)
        inputs = self._inputs(keys.airflow.params if keys and keys.airflow else {})
        if self._overrides is not None:
            airflow = scheduled(airflow, self._overrides, faults)
        steps = self._steps(keys, inputs)
        self._check_schedule(airflow, inputs)
        name = self._overrides.name if self._overrides else self._name(keys, airflow)
        shown = self._shown(keys)
        if faults.errors or keys is None:
            return None
        names = {step.fields["name"]: step for step in steps}
        return PipelineSpec(
            source=self._schedule or self._path,
            base=self._path.parent if self._schedule else None,
            name=name,
            **shown,
            parameters=self._parameters(inputs),
            steps=tuple(finished(steps)),
            step_options={step: lowered.options for step, lowered in names.items()},
            airflow=airflow,
            lines={step: lowered.place.position(of_key=True).line for step, lowered in names.items()},
            step_groups={step: lowered.groups for step, lowered in names.items() if lowered.groups},
            files={step: self._file(lowered) for step, lowered in names.items() if self._is_elsewhere(lowered)},
            warnings=faults.warnings,
        )

    def _steps(self, keys: PipelineDocument | None, inputs: dict[str, Port | None]) -> list[Lowered]:
        """Read the jobs to the bottom, then lower them."""
        faults, place = self._faults, self._place
        binder = OutputBinder(read_declared_outputs(_section(self._data, "outputs"), place / "outputs", faults), faults)
        reader = JobsReader(ComponentReader(self._source, faults), faults)
        drafts = reader.read(_section(self._data, "jobs"), place / "jobs", binder, Frame(self._source))
        for port in binder.unwritten:
            text = f"no job writes the output '{port}'; bind it, '${{{{parent.outputs.{port}}}}}', or drop it."
            faults.add(place / "outputs" / port, "MLP207", text, of_key=True)
        scope = Scope(self._source, inputs, job_outputs(drafts), many(drafts))
        settings = (keys.settings if keys else None) or Settings()
        defaults = pipeline_defaults(settings, keys.compute if keys else None, place, faults)
        if self._overrides is not None:
            job, here = self._overrides.job, self._overrides.source.place
            given = pipeline_defaults(job.settings or Settings(), job.compute, here, faults)
            defaults = Defaults(given.compute or defaults.compute, given.force_rerun or defaults.force_rerun)
        return GraphLowerer(scope, defaults, faults).lower(drafts, place / "jobs")

    def _inputs(self, dates: dict[str, Any]) -> dict[str, Port | None]:
        overrides, faults = self._overrides, self._faults
        given = overrides.given if overrides else frozenset()
        inputs = read_pipeline_inputs(_section(self._data, "inputs"), self._source, faults, given)
        inputs = with_dates(inputs, dates, self._place, faults)
        if overrides is None or self._schedule is None:
            return inputs
        here, there = self._schedule.parent.resolve(), self._path.parent.resolve()
        return overrides.apply(inputs, Path(os.path.relpath(here, there)).as_posix(), faults)

    def _shown(self, keys: PipelineDocument | None) -> dict[str, Any]:
        """Return what people see: a schedule's words go before those of its pipeline."""
        tags = texts(keys.tags if keys else None, self._place / "tags", self._faults)
        shown: dict[str, Any] = {"display_name": (keys.display_name if keys else None) or "", "tags": tags}
        shown["description"] = keys.description if keys else ""
        if self._overrides is None:
            return shown
        root = Place(self._overrides.source.place.file, self._overrides.source.place.marks)
        for said, place in ((self._overrides.job, root / "create_job"), (self._overrides.keys, root)):
            shown["display_name"] = said.display_name or shown["display_name"]
            shown["description"] = said.description or shown["description"]
            shown["tags"] = shown["tags"] | texts(said.tags, place / "tags", self._faults)
        return shown

    def _is_elsewhere(self, lowered: Lowered) -> bool:
        return self._schedule is not None or lowered.place.file != self._place.file

    def _file(self, lowered: Lowered) -> str:
        """Return the file that a step is written in, relative to the folder of the pipeline or schedule."""
        file = self._overrides.source.place.file if self._overrides else self._place.file
        return posixpath.relpath(lowered.place.file, posixpath.dirname(file) or ".")

    def _parameters(self, inputs: dict[str, Port | None]) -> dict[str, Parameter]:
        return {name: port.parameter for name, port in inputs.items() if isinstance(port, ScalarPort)}

    def _check_schedule(self, airflow: AirflowBlock, inputs: dict[str, Port | None]) -> None:
        if airflow.schedule is None:
            return
        given = self._overrides.given if self._overrides else frozenset()
        for name, port in inputs.items():
            if isinstance(port, ScalarPort) and port.parameter.is_required and name not in given:
                if (self._place / "inputs" / name / "default").text is not None:
                    continue
                text = f"'{name}' needs a default: a scheduled run has nobody to give it a value."
                self._faults.add(self._place / "inputs" / name, "MLP144", text, of_key=True)

    def _name(self, keys: PipelineDocument | None, airflow: AirflowBlock) -> str:
        if airflow.dag_id is not None:
            return airflow.dag_id
        if keys is not None and keys.name is not None:
            return self._checked(keys.name, self._place / "name")
        if keys is not None and keys.display_name is not None and is_dag_id(keys.display_name):
            return keys.display_name
        stem = self._path.stem
        name = self._path.absolute().parent.name if stem == "pipeline" else stem
        return self._checked(name, self._place)

    def _checked(self, name: str, place: Place) -> str:
        if not is_dag_id(name):
            rule = "ASCII letters, digits, '_', '-', '.', first a letter, digit or '_', at most 250 characters"
            advice = "" if place.path else " Write a 'name:'."
            self._faults.add(place, "MLP030", f"'{name}' cannot be the name of a pipeline: {rule}.{advice}")
        return name
