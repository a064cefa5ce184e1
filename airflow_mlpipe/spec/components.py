"""Component files: read once each, however many jobs use them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import Any

from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import OutputKeys
from airflow_mlpipe.spec.job_documents import AnyComponent, CommandComponent, ParallelComponent
from airflow_mlpipe.spec.nested_documents import PipelineComponent
from airflow_mlpipe.spec.paths import Source
from airflow_mlpipe.spec.ports import Port, check_port_name, read_component_inputs
from airflow_mlpipe.spec.reader import read_document
from airflow_mlpipe.spec.registered import find_registered
from airflow_mlpipe.spec.structure import describe, known, validate

_MODELS: dict[str, type[AnyComponent]] = {
    "command": CommandComponent,
    "parallel": ParallelComponent,
    "pipeline": PipelineComponent,
}


@dataclass(frozen=True)
class Component:
    """A component that was read.

    :param kind: ``command``, ``parallel`` or ``pipeline``.
    :param keys: the raw component, without what was wrong.
    :param source: where it is written and where its paths start.
    :param path: its file relative to the pipeline's folder, ``None`` for one that is written in place.
    :param version: of a registered one.
    :param asked: the reference to a registered one.
    """

    kind: str
    keys: AnyComponent
    source: Source
    inputs: dict[str, Port | None]
    outputs: dict[str, OutputKeys]
    path: str | None = None
    version: str | None = None
    asked: str = ""


def read_declared_outputs(data: dict[str, Any] | None, place: Place, faults: Faults) -> dict[str, OutputKeys]:
    """Read the outputs that a component or a pipeline declares; nothing at all means a folder."""
    outputs: dict[str, OutputKeys] = {}
    for name, value in (data or {}).items():
        check_port_name(name, place / name, faults)
        keys = validate(OutputKeys, {} if value is None else value, place / name, faults)
        outputs[name] = keys or OutputKeys()
        if keys is not None and keys.path is not None:
            why = (
                "is not supported: results lie in the store of the workspace, under a fresh path per attempt; drop it."
            )
            faults.add(place / name / "path", "MLP027", why, of_key=True)
    return outputs


class ComponentReader:
    """Reads the components of one pipeline, those of the pipelines inside it included.

    :param source: the pipeline file.
    """

    def __init__(self, source: Source, faults: Faults) -> None:
        self._source = source
        self._faults = faults
        self._read: dict[str, Component | None] = {}

    def read(self, value: Any, place: Place, source: Source) -> Component | None:
        """Return the component that a job names (a file) or holds (a mapping); ``None`` if it is wrong.

        :param source: the file that the job is written in; a path starts at its folder.
        """
        if isinstance(value, dict):
            return self._build(value, Source(place, source.base, source.folder))
        if not isinstance(value, str):
            self._faults.add(place, "MLP023", f"must be the path of a component file, got {describe(value)}.")
            return None
        if value.startswith("azureml:"):
            return self._registered(value, place)
        path = source.existing(value.removeprefix("file:"), place, "file", self._faults)
        if path is None:
            return None
        if path not in self._read:
            self._read[path] = self._load(path)
        return self._read[path]

    def _registered(self, text: str, place: Place) -> Component | None:
        found = find_registered(text, self._source.folder, place, self._faults)
        if found is None:
            return None
        if found.file not in self._read:
            self._read[found.file] = self._load(found.file)
        component = self._read[found.file]
        return replace(component, version=found.version, asked=text) if component is not None else None

    def _load(self, path: str) -> Component | None:
        file = posixpath.normpath(posixpath.join(posixpath.dirname(self._source.place.file), path))
        document = read_document(self._source.folder / path, file, self._faults)
        if document is None:
            return None
        base = posixpath.dirname(posixpath.normpath(path))
        return self._build(document.data, Source(document.root, base, self._source.folder), path)

    def _build(self, data: dict[str, Any], source: Source, path: str | None = None) -> Component | None:
        place, faults = source.place, self._faults
        kind = data.get("type", _kind_of(data))
        model = _MODELS.get(kind) if isinstance(kind, str) else None
        if model is None:
            hint = known(str(kind), list(_MODELS))
            faults.add(place / "type", "MLP026", f"components of type {describe(kind)} are not supported yet.{hint}")
            return None
        keys = validate(model, data, place, faults)
        inputs = read_component_inputs(_mapping(data, "inputs"), source, faults)
        outputs = read_declared_outputs(_mapping(data, "outputs"), place / "outputs", faults)
        return Component(kind, keys, source, inputs, outputs, path) if keys is not None else None


def _kind_of(data: dict[str, Any]) -> str:
    """Azure ML's components need not say their type."""
    if "jobs" in data:
        return "pipeline"
    return "parallel" if "task" in data else "command"


def _mapping(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}
