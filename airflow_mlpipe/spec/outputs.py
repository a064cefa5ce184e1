"""What a job writes under ``outputs``, and which output of the pipeline it becomes."""

from __future__ import annotations

import re
from typing import Any, cast

from airflow_mlpipe.spec.bindings import differ, parsed
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import OutputKeys
from airflow_mlpipe.spec.expressions import PipelineOutputRef
from airflow_mlpipe.spec.ports import SCALAR_TYPES
from airflow_mlpipe.spec.step import DataType, OutputData, ScalarType
from airflow_mlpipe.spec.structure import describe, known, validate

EXPORT = re.compile(r"azureml://datastores/([A-Za-z0-9_.\-]+)/paths/(.*)", re.DOTALL)


class OutputBinder:
    """Reads the outputs of all jobs of a pipeline.

    :ivar writers: each output of the pipeline and who writes it, ``<job>.<port>``.
    """

    def __init__(self, outputs: dict[str, OutputKeys], faults: Faults) -> None:
        self._outputs = outputs
        self._faults = faults
        self.writers: dict[str, str] = {}

    @property
    def unwritten(self) -> list[str]:
        """The outputs of the pipeline that no job writes."""
        return [name for name in self._outputs if name not in self.writers]

    def bind(
        self, value: Any, place: Place, declared: OutputKeys | None, writer: str, exports: bool = False
    ) -> OutputData:
        """Return the output of a step.

        :param declared: what the component says.
        :param writer: ``<job>.<port>``, for a message about two writers.
        :param exports: the job may name a folder of its own to write to.
        """
        keys = OutputKeys()
        pipeline: OutputKeys | None = None
        path: str | None = None
        if isinstance(value, str):
            pipeline = self._pipeline_output(value, place, writer)
        elif value is not None:
            keys = validate(OutputKeys, value, place, self._faults) or keys
            if exports and isinstance(keys.path, str) and keys.path.startswith("azureml:"):
                path = self._destination(keys, keys.path, place)
            elif keys.path is not None:
                pipeline = self._pipeline_output(keys.path, place / "path", writer)
        sources = [found for found in (keys, pipeline, declared) if found is not None]
        types = [found.type for found in sources if found.type is not None]
        if types and differ(types[0], types[-1]):
            text = f"is of type {types[-1]} in one place and of type {types[0]} in another."
            self._faults.add(place, "MLP117", text)
        kind = next((found.type for found in sources if found.type), "uri_folder")
        scalar = cast(ScalarType, kind) if kind in SCALAR_TYPES else None
        return OutputData(
            type="uri_file" if scalar else cast(DataType, kind),
            mode=next((found.mode for found in sources if found.mode), None),
            name=next((found.name for found in sources if found.name), None) if path is None else None,
            path=path,
            value=scalar,
        )

    def _destination(self, keys: OutputKeys, text: str, place: Place) -> str | None:
        """Return the folder of an export in its one form."""
        match = EXPORT.fullmatch(text)
        folder = match[2].strip("/") if match else ""
        if match is None or not folder or not {"", ".", ".."}.isdisjoint(folder.split("/")) or "\0" in text:
            why = f"'{text}' is no folder to export to; write azureml://datastores/<name>/paths/<folder>."
            self._faults.add(place / "path", "MLP124", why)
            return None
        if keys.name is not None:
            why = "an export registers nothing: others may change what lies there. Copy to the workspace to register."
            self._faults.add(place / "name", "MLP025", why, of_key=True)
        if keys.type == "uri_file":
            self._faults.add(place / "type", "MLP025", "an export writes a folder; write uri_folder.")
        return f"azureml://datastores/{match[1]}/paths/{folder}"

    def _pipeline_output(self, text: Any, place: Place, writer: str) -> OutputKeys | None:
        parts = parsed(text, place, self._faults) if isinstance(text, str) else ()
        if parts is None:
            return None
        ref = parts[0] if len(parts) == 1 else None
        if not isinstance(ref, PipelineOutputRef):
            why = "Results lie in the store of the workspace, under a fresh path per attempt."
            self._faults.add(place, "MLP041", f"must be '${{{{parent.outputs.<name>}}}}', got {describe(text)}. {why}")
            return None
        if ref.name not in self._outputs:
            hint = known(ref.name, list(self._outputs))
            self._faults.add(place, "MLP105", f"'{ref}' names no output of the pipeline.{hint}")
            return None
        first = self.writers.setdefault(ref.name, writer)
        if first != writer:
            self._faults.add(place, "MLP108", f"'{ref}' is written by '{first}' already; an output has one writer.")
        return self._outputs[ref.name]
