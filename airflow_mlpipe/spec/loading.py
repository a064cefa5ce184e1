"""From a file to a :class:`PipelineSpec`, or to every fault in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.spec.airflow_keys import read_airflow
from airflow_mlpipe.spec.bindings import Scope
from airflow_mlpipe.spec.components import ComponentReader, read_declared_outputs
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import AirflowKeys, Settings
from airflow_mlpipe.spec.job_documents import PipelineDocument
from airflow_mlpipe.spec.jobs import Draft, DraftReader, is_dag_id
from airflow_mlpipe.spec.lowering import Defaults, Lowered, StepLowerer
from airflow_mlpipe.spec.model import AirflowBlock, Parameter, PipelineSpec
from airflow_mlpipe.spec.ordering import cycle, ordered
from airflow_mlpipe.spec.outputs import OutputBinder
from airflow_mlpipe.spec.paths import Source
from airflow_mlpipe.spec.ports import Port, ScalarPort, read_pipeline_inputs
from airflow_mlpipe.spec.reader import Document, read_document
from airflow_mlpipe.spec.software import compute_name
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.spec.structure import texts, validate

USUAL_DATASTORE = "workspaceblobstore"
"""Azure ML's default datastore, and ours."""


def load_pipeline(path: str | Path) -> PipelineSpec:
    """Read a pipeline file and its components.

    :param path: the YAML file; its name as given appears in messages.
    :raises SpecError: with every fault at once, by file and position.
    """
    source = Path(path)
    faults = Faults()
    document = read_document(source, str(path), faults)
    spec = _Loader(source, document, faults).load() if document is not None else None
    if spec is None or faults.errors:
        raise SpecError(faults.errors)
    return spec


def _section(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


class _Loader:
    """Reads one pipeline; each part is read even if another is wrong."""

    def __init__(self, path: Path, document: Document, faults: Faults) -> None:
        self._path = path
        self._data = document.data
        self._place = document.root
        self._faults = faults
        self._source = Source(document.root, "", path.parent)

    def load(self) -> PipelineSpec | None:
        """Return the pipeline, ``None`` when there are errors."""
        faults, place = self._faults, self._place
        keys = validate(PipelineDocument, self._data, place, faults)
        airflow = read_airflow(self._airflow_keys(keys), place / "airflow", faults)
        inputs = read_pipeline_inputs(_section(self._data, "inputs"), self._source, faults)
        outputs = read_declared_outputs(_section(self._data, "outputs"), place / "outputs", faults)
        reader = DraftReader(ComponentReader(self._source, faults), OutputBinder(outputs, faults), faults)
        drafts = {
            name: reader.read(name, value, place / "jobs" / name)
            for name, value in _section(self._data, "jobs").items()
        }
        scope = Scope(self._source, inputs, outputs, {name: draft.outputs for name, draft in drafts.items()})
        lowerer = StepLowerer(scope, self._defaults(keys), faults)
        lowered = {name: lowerer.lower(draft) for name, draft in drafts.items()}
        upstream = {name: self._known(found, drafts) for name, found in lowered.items()}
        self._check_cycle(upstream)
        self._check_schedule(airflow, inputs)
        name = self._name(keys, airflow)
        tags = texts(keys.tags if keys else None, place / "tags", faults)
        if faults.errors or keys is None:
            return None
        order = ordered(upstream)
        steps = {name: found for name, found in lowered.items() if found is not None}
        return PipelineSpec(
            source=self._path,
            name=name,
            display_name=keys.display_name or "",
            description=keys.description,
            tags=tags,
            parameters=self._parameters(inputs),
            steps=tuple(Step(**steps[job].fields, upstream=tuple(upstream[job])) for job in order),
            step_options={job: steps[job].options for job in order},
            airflow=airflow,
            lines={job: (place / "jobs" / job).position(of_key=True).line for job in order},
            warnings=faults.warnings,
        )

    def _airflow_keys(self, keys: PipelineDocument | None) -> AirflowKeys | None:
        return keys.airflow if keys else None

    def _parameters(self, inputs: dict[str, Port | None]) -> dict[str, Parameter]:
        return {name: port.parameter for name, port in inputs.items() if isinstance(port, ScalarPort)}

    def _known(self, lowered: Lowered | None, drafts: dict[str, Draft]) -> list[str]:
        """Return the upstream jobs once each, in the order of the file."""
        found = set(lowered.upstream if lowered else ())
        return [name for name in drafts if name in found]

    def _defaults(self, keys: PipelineDocument | None) -> Defaults:
        settings = (keys.settings if keys else None) or Settings()
        place = self._place
        self._note_settings(settings, place / "settings")
        compute = compute_name(keys.compute if keys else None, place / "compute", self._faults)
        default = compute_name(settings.default_compute, place / "settings" / "default_compute", self._faults)
        if compute and default and compute != default:
            text = f"says '{default}', the pipeline's 'compute' says '{compute}'; keep one."
            self._faults.add(place / "settings" / "default_compute", "MLP025", text)
        return Defaults(compute or default, settings.force_rerun)

    def _note_settings(self, settings: Settings, place: Place) -> None:
        datastore = settings.default_datastore
        if datastore is not None and datastore.removeprefix("azureml:") != USUAL_DATASTORE:
            text = f"'{datastore}' is not used: results go to the default datastore of the workspace."
            self._faults.add(place / "default_datastore", "MLP202", text)
        if settings.continue_on_step_failure is False:
            text = "is not used: jobs that do not depend on a failed job go on, as with true."
            self._faults.add(place / "continue_on_step_failure", "MLP205", text)

    def _check_cycle(self, upstream: dict[str, list[str]]) -> None:
        loop = cycle(upstream)
        if loop:
            text = f"these jobs wait for each other: {' -> '.join(loop)}. Cut one of the references."
            self._faults.add(self._place / "jobs" / loop[0], "MLP109", text, of_key=True)

    def _check_schedule(self, airflow: AirflowBlock, inputs: dict[str, Port | None]) -> None:
        if airflow.schedule is None:
            return
        for name, port in inputs.items():
            if isinstance(port, ScalarPort) and port.parameter.is_required:
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
