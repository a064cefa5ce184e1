"""What a job writes under ``inputs``, with every reference followed to its end."""

from __future__ import annotations

from typing import Any, cast

from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.diagnostics import Faults, Place, did_you_mean
from airflow_mlpipe.spec.documents import InputKeys, Mode
from airflow_mlpipe.spec.expressions import (
    InputRef,
    OutputRef,
    ParameterRef,
    Part,
    Ref,
    RunFieldRef,
    parse,
)
from airflow_mlpipe.spec.model import Parameter
from airflow_mlpipe.spec.paths import data_path
from airflow_mlpipe.spec.ports import DATA_TYPES, DataPort, Port, ScalarPort, finite, typed
from airflow_mlpipe.spec.scope import Produced, Scope
from airflow_mlpipe.spec.step import DataType, InputData, InputValue
from airflow_mlpipe.spec.structure import describe, known, validate

_TREES = frozenset({"uri_folder", "mltable", "mlflow_model"})


def differ(given: str | None, wanted: str | None) -> bool:
    """Return whether one type is a single file and the other a folder; other differences do no harm."""
    return (given == "uri_file" and wanted in _TREES) or (wanted == "uri_file" and given in _TREES)


def parsed(text: str, place: Place, faults: Faults) -> tuple[Part, ...] | None:
    """Split a value at its expressions; ``None`` after noting that one is malformed."""
    try:
        return parse(text)
    except ValueError as error:
        faults.add(place, "MLP040", str(error))
        return None


class InputBinder:
    """Reads the input values of one job.

    :param job: name of the job.
    :ivar upstream: the jobs that its values come from.
    """

    def __init__(self, job: str, scope: Scope, faults: Faults) -> None:
        self._job = job
        self._scope = scope
        self._faults = faults
        self.upstream: list[str] = []

    def bind(self, value: Any, place: Place, port: Port | None, optional: bool = False) -> InputValue:
        """Return the value of a step's input; ``None`` after noting what is wrong.

        :param port: what the component declares; ``None`` for a job without component.
        :param optional: the input may be absent.
        """
        if isinstance(value, dict):
            bound = self._data(value, place, port, optional)
        elif isinstance(value, str):
            bound = self._text(value, place, port, optional)
        elif value is None or isinstance(value, list):
            self._faults.add(place, "MLP023", f"must be a value, an expression or data, got {describe(value)}.")
            return None
        else:
            bound = self._literal(value, place, port)
        if isinstance(bound, InputData) and optional:
            return replaced(bound, optional=True)
        return bound

    def _literal(self, value: Any, place: Place, port: Port | None) -> InputValue:
        if isinstance(port, DataPort):
            forms = "an expression for data or {type: uri_folder, path: ./data}"
            self._faults.add(place, "MLP106", f"this input is data; write {forms}, not the value {describe(value)}.")
            return None
        if isinstance(port, ScalarPort):
            return typed(port.parameter, value, place, self._faults)
        return finite(value, place, self._faults)

    def _text(self, text: str, place: Place, port: Port | None, optional: bool) -> InputValue:
        parts = parsed(text, place, self._faults)
        if parts is None:
            return None
        if len(parts) == 1 and not isinstance(parts[0], str):
            return self._reference(parts[0], place, port, optional)
        if all(isinstance(part, str) for part in parts):
            return self._literal(text, place, port)
        for part in parts:
            if not isinstance(part, str):
                self._mixed(part, place)
        if isinstance(port, DataPort) or (isinstance(port, ScalarPort) and port.parameter.type != "string"):
            kind = port.type if isinstance(port, DataPort) else port.parameter.type
            self._faults.add(
                place, "MLP106", f"this input is of type {kind}; text around an expression cannot give that."
            )
        return "".join(self._scope.text(part) for part in parts)

    def _mixed(self, part: Ref, place: Place) -> None:
        if isinstance(part, ParameterRef):
            given = self._parameter(part, place)
            if isinstance(given, ScalarPort) and given.is_optional:
                text = f"'{part}' may be absent; a text needs it. Give it a default or bind it alone."
                self._faults.add(place, "MLP107", text)
            if isinstance(given, DataPort):
                self._faults.add(
                    place, "MLP106", f"'{part}' is data; it can only stand alone as the value of an input."
                )
        elif isinstance(part, OutputRef):
            self._faults.add(place, "MLP106", f"'{part}' is data; it can only stand alone as the value of an input.")
        elif not isinstance(part, RunFieldRef):
            self._not_here(part, place)

    def _not_here(self, part: Ref, place: Place) -> None:
        allowed = "${{parent.inputs.<name>}}, ${{parent.jobs.<job>.outputs.<port>}}, ${{airflow.<field>}}"
        hint = ""
        if isinstance(part, InputRef) and part.port in self._scope.inputs:
            hint = f" Did you mean '{ParameterRef(part.port)}'?"
        self._faults.add(place, "MLP041", f"'{part}' cannot be used here; allowed: {allowed}.{hint}")

    def _parameter(self, ref: ParameterRef, place: Place) -> Port | None:
        inputs = self._scope.inputs
        if ref.name not in inputs:
            hint = known(ref.name, list(inputs))
            self._faults.add(place, "MLP101", f"'{ref}' names no input of the pipeline.{hint}")
            return None
        return inputs[ref.name]

    def _reference(self, ref: Ref, place: Place, port: Port | None, optional: bool) -> InputValue:
        if isinstance(ref, ParameterRef):
            given = self._parameter(ref, place)
            if isinstance(given, DataPort):
                if given.is_optional and not optional:
                    self._may_be_absent(ref, place, port)
                return self._pipeline_data(ref, given, place, port)
            if isinstance(given, ScalarPort):
                self._check_scalar(ref, given.parameter, place, port, optional)
            return self._scope.value(ref)
        if isinstance(ref, OutputRef):
            return self._job_output(ref, place, port, optional)
        if isinstance(ref, RunFieldRef):
            if isinstance(port, DataPort):
                self._faults.add(place, "MLP106", f"this input is data, '{ref}' is text.")
            return str(ref)
        self._not_here(ref, place)
        return None

    def _pipeline_data(self, ref: ParameterRef, given: DataPort, place: Place, port: Port | None) -> InputValue:
        if isinstance(port, ScalarPort):
            self._faults.add(place, "MLP106", f"this input is of type {port.parameter.type}, '{ref}' is data.")
            return None
        self._check_data_type(ref, given.type, place, port)
        kind = port.type if port else given.type
        mode = (port.mode if port else None) or given.mode
        if self._scope.bound is None:
            path = given.path or ""
            return InputData(type=kind, path=path, mode=mode, optional=given.is_optional, parameter=ref.name)
        bound = self._scope.bound.get(ref.name)
        return replaced(bound, type=kind, mode=mode) if isinstance(bound, InputData) else None

    def _check_scalar(self, ref: Ref, given: Parameter, place: Place, port: Port | None, optional: bool) -> None:
        if isinstance(port, DataPort):
            self._faults.add(place, "MLP106", f"this input is data, '{ref}' is of type {given.type}.")
            return
        if given.optional and given.default is None and not optional:
            self._may_be_absent(ref, place, port)
        wanted = port.parameter.type if port else given.type
        if wanted not in (given.type, "string") and (given.type, wanted) != ("integer", "number"):
            self._faults.add(place, "MLP204", f"'{ref}' is of type {given.type}, this input is of type {wanted}.")

    def _may_be_absent(self, ref: Ref, place: Place, port: Port | None) -> None:
        where = "say 'optional: true' in the component" if port else "list it in 'airflow: {optional_inputs: [...]}'"
        self._faults.add(place, "MLP107", f"'{ref}' may be absent but this input must be there; {where}.")

    def _job_output(self, ref: OutputRef, place: Place, port: Port | None, optional: bool) -> InputValue:
        output = self.output(ref, place)
        if output is None:
            return InputData(path=str(ref))
        if output.data.value is not None:
            return self._scalar_output(output, ref, place, port)
        if isinstance(port, ScalarPort):
            self._faults.add(place, "MLP106", f"this input is of type {port.parameter.type}, '{ref}' is data.")
        self._check_data_type(ref, output.data.type, place, port)
        if output.data.optional and not optional:
            text = f"'{ref}' may stay empty; this job fails then unless its input is optional too."
            self._faults.add(place, "MLP206", text)
        kind = port.type if isinstance(port, DataPort) else output.data.type
        return InputData(type=kind, path=str(output.ref), mode=port.mode if isinstance(port, DataPort) else None)

    def _scalar_output(self, output: Produced, ref: OutputRef, place: Place, port: Port | None) -> InputValue:
        """An output that is a value: it is read when the step runs."""
        given = output.data.value or "string"
        if isinstance(port, DataPort):
            self._faults.add(place, "MLP106", f"this input is data, '{ref}' is a value of type {given}.")
            return None
        self._check_scalar(ref, Parameter(type=given), place, port, True)
        wanted = port.parameter.type if isinstance(port, ScalarPort) else given
        return InputData(type="uri_file", path=str(output.ref), value=wanted)

    def _check_data_type(self, ref: Ref, given: str, place: Place, port: Port | None) -> None:
        wanted = port.type if isinstance(port, DataPort) else given
        if differ(given, wanted):
            self._faults.add(place, "MLP117", f"'{ref}' is of type {given}, this input is of type {wanted}.")

    def output(self, ref: OutputRef, place: Place) -> Produced | None:
        """Follow a reference to another job's output; ``None`` after noting that there is none."""
        jobs = self._scope.jobs
        if ref.job == self._job:
            self._faults.add(place, "MLP118", f"'{ref}' is an output of this very job.")
            return None
        if ref.job not in jobs:
            self._faults.add(place, "MLP103", f"'{ref}' names no job.{known(ref.job, list(jobs))}")
            return None
        self.upstream.append(ref.job)
        if ref.job in self._scope.many:
            loop = self._scope.many[ref.job]
            text = f"'{ref}' is there once for each item of '{loop}'; no job can read them all as one yet."
            self._faults.add(place, "MLP027", text)
            return None
        outputs = jobs[ref.job]
        if outputs is None:
            return None
        if ref.port not in outputs:
            hint = known(ref.port, list(outputs))
            self._faults.add(place, "MLP104", f"'{ref}' names no output of the job '{ref.job}'.{hint}")
        return outputs.get(ref.port)

    def _data(self, value: dict[str, Any], place: Place, port: Port | None, optional: bool) -> InputValue:
        if isinstance(port, ScalarPort):
            self._faults.add(place, "MLP106", f"this input is of type {port.parameter.type}; write its value.")
            return None
        keys = validate(InputKeys, value, place, self._faults)
        if keys is None:
            return None
        for name in sorted({"default", "min", "max", "enum"} & keys.model_fields_set):
            why = "belongs to declared inputs (of the pipeline or a component); write the value itself."
            self._faults.add(place / name, "MLP025", why, of_key=True)
        self._check_declared(keys, place, port)
        if port is not None and keys.optional and not port.is_optional:
            text = "the component's input must be there; say 'optional: true' in the component."
            self._faults.add(place / "optional", "MLP107", text, of_key=True)
        if keys.path is None:
            if "path" not in value:
                self._faults.add(place, "MLP022", "the key 'path' is missing.", of_key=True)
            return None
        bound = self._data_at(keys, place, port, optional or keys.optional)
        return replaced(bound, optional=True) if bound is not None and keys.optional else bound

    def _check_declared(self, keys: InputKeys, place: Place, port: DataPort | None) -> None:
        if port is not None and differ(str(keys.type), port.type):
            self._faults.add(
                place / "type", "MLP117", f"the component's input is of type {port.type}, got {keys.type}."
            )
        if keys.type is not None and keys.type not in DATA_TYPES:
            hint = did_you_mean(str(keys.type), DATA_TYPES)
            text = f"must be one of {', '.join(DATA_TYPES)}, got {describe(keys.type)}.{hint}"
            self._faults.add(place / "type", "MLP024", text)

    def _is_scalar(self, ref: Ref) -> bool:
        if isinstance(ref, ParameterRef):
            return isinstance(self._scope.inputs.get(ref.name), ScalarPort)
        return isinstance(ref, RunFieldRef)

    def _data_at(self, keys: InputKeys, place: Place, port: DataPort | None, optional: bool) -> InputData | None:
        declared, path = port, keys.path or ""
        if keys.type in DATA_TYPES:
            declared = DataPort(cast(DataType, keys.type), keys.mode or (port.mode if port else None))
        parts = parsed(path, place / "path", self._faults)
        if parts is None:
            return None
        if len(parts) == 1 and not isinstance(parts[0], str):
            bound = self._reference(parts[0], place / "path", declared, optional)
            if isinstance(bound, str) and declared is None and self._is_scalar(parts[0]):
                self._faults.add(
                    place / "path", "MLP106", f"'{parts[0]}' is no data; write it as the value of the input."
                )
            extra: dict[str, Any] = {"mode": keys.mode} if keys.mode else {}
            return replaced(bound, **extra) if isinstance(bound, InputData) else None
        if any(not isinstance(part, str) for part in parts):
            text = "an expression in a path must stand alone; use 'airflow: {partitions: ...}' for dated files."
            self._faults.add(place / "path", "MLP041", text)
            return None
        found = data_path(path, self._scope.source, place / "path", self._faults)
        mode: Mode | None = keys.mode or (declared.mode if declared else None)
        kind: DataType = declared.type if declared else "uri_folder"
        return InputData(type=kind, path=found, mode=mode) if found is not None else None
