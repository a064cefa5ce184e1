"""What a job that cannot be run yet says, kept as it is written; only what it refers to is looked up."""

from __future__ import annotations

import re
from typing import Any

from airflow_mlpipe.spec.bindings import InputBinder
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.expressions import OutputRef, ParameterRef, parse
from airflow_mlpipe.spec.job_documents import JobKeys
from airflow_mlpipe.spec.scope import Scope
from airflow_mlpipe.spec.structure import known

_EXPRESSION = re.compile(r"\$\{\{\s*parent\s*\.[^}]*\}\}")
_RESOURCES = "resources"


class DefinitionReader:
    """Reads the keys of a job that belong to its kind alone.

    :param binder: of the job; learns which jobs must end before.
    :ivar after: the steps whose outputs are named.
    """

    def __init__(self, scope: Scope, binder: InputBinder, faults: Faults) -> None:
        self._scope = scope
        self._binder = binder
        self._faults = faults
        self.after: list[str] = []

    def read(self, keys: JobKeys, place: Place) -> dict[str, Any]:
        """Return them as plain values; ``${{parent...}}`` in them names jobs by the steps that they have become."""
        common = set(JobKeys.model_fields) - {_RESOURCES, "component"}
        plain = keys.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=common)
        return {key: self._value(value, place / key) for key, value in plain.items()}

    def _value(self, value: Any, place: Place) -> Any:
        if isinstance(value, dict):
            return {key: self._value(inner, place / key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._value(inner, place / number) for number, inner in enumerate(value)]
        if isinstance(value, str):
            return _EXPRESSION.sub(lambda match: self._reference(match[0], place), value)
        return value

    def _reference(self, text: str, place: Place) -> str:
        try:
            [ref] = parse(text)
        except ValueError as error:
            self._faults.add(place, "MLP040", str(error))
            return text
        if isinstance(ref, OutputRef):
            output = self._binder.output(ref, place)
            if output is None:
                return text
            self.after.append(output.ref.job)
            return str(output.ref)
        if isinstance(ref, ParameterRef) and ref.name not in self._scope.inputs:
            hint = known(ref.name, list(self._scope.inputs))
            self._faults.add(place, "MLP101", f"'{ref}' names no input of the pipeline.{hint}")
        return text
