"""From a job to a step: everything that the file decides is decided here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_mlpipe.spec.bindings import InputBinder, Scope
from airflow_mlpipe.spec.checks import PortTexts
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import JobAirflowKeys, Resources
from airflow_mlpipe.spec.job_documents import JobKeys
from airflow_mlpipe.spec.jobs import Draft
from airflow_mlpipe.spec.model import StepOptions
from airflow_mlpipe.spec.parallel_keys import parallel_task
from airflow_mlpipe.spec.partition_keys import apply_input_keys
from airflow_mlpipe.spec.paths import Source
from airflow_mlpipe.spec.ports import Port, ScalarPort, check_port_name
from airflow_mlpipe.spec.software import check_script, code_folder, compute_name, environment, includes
from airflow_mlpipe.spec.step import InputData, InputValue
from airflow_mlpipe.spec.structure import known, texts
from airflow_mlpipe.spec.times import duration
from airflow_mlpipe.spec.transfer_keys import refuse_transfer_keys, transfer_fields


@dataclass(frozen=True)
class Lowered:
    """A job with nothing left to look up.

    :param fields: the keyword arguments of its ``Step``.
    :param upstream: jobs that must end first; may name jobs more than once.
    """

    fields: dict[str, Any]
    upstream: list[str]
    options: StepOptions


@dataclass(frozen=True)
class Defaults:
    """What the pipeline says for all of its jobs."""

    compute: str | None = None
    force_rerun: bool = False


class StepLowerer:
    """Lowers the jobs of one pipeline."""

    def __init__(self, scope: Scope, defaults: Defaults, faults: Faults) -> None:
        self._scope = scope
        self._defaults = defaults
        self._faults = faults

    def lower(self, draft: Draft) -> Lowered | None:
        """Lower one job; ``None`` if too little is left of it."""
        keys, component = draft.keys, draft.component
        if keys is None or draft.outputs is None:
            return None
        source = component.source if component else Source(draft.place, "", self._scope.source.folder)
        definition = component.keys if component else keys
        airflow = keys.airflow or JobAirflowKeys()
        binder = InputBinder(draft.name, self._scope, self._faults)
        inputs, optional = self._inputs(draft, keys, airflow, binder)
        ports = PortTexts(component.inputs if component else inputs, optional, draft.outputs, self._faults)
        fields: dict[str, Any] = {
            "name": draft.name,
            "type": draft.kind,
            "inputs": inputs,
            "outputs": draft.outputs,
            "compute": compute_name(keys.compute, draft.place / "compute", self._faults) or self._defaults.compute,
            "environment_variables": self._variables(definition, source.place, keys, draft.place),
            "is_deterministic": definition.is_deterministic and airflow.allow_reuse and not self._defaults.force_rerun,
            "reuse_version": airflow.reuse_version,
            "ttl": self._ttl(airflow, draft.place / "airflow" / "ttl"),
            "timeout": self._timeout(keys, definition),
        }
        fields |= self._work(draft, definition, source, ports, inputs)
        self._machines(keys.resources, draft.place, draft.kind)
        self._machines(component.keys.resources if component else None, source.place, draft.kind)
        upstream = [*binder.upstream, *self._run_after(draft.name, airflow, draft.place)]
        return Lowered(fields, upstream, self._options(airflow, draft.place / "airflow"))

    def _inputs(
        self, draft: Draft, keys: JobKeys, airflow: JobAirflowKeys, binder: InputBinder
    ) -> tuple[dict[str, InputValue], set[str]]:
        """Return the inputs by port, and the names of those that may be absent."""
        given = keys.inputs or {}
        place = draft.place / "inputs"
        if draft.component is None:
            optional = set(airflow.optional_inputs)
            for port in given:
                check_port_name(port, place / port, self._faults)
            for number, port in enumerate(airflow.optional_inputs):
                if port not in given:
                    here = draft.place / "airflow" / "optional_inputs" / number
                    self._faults.add(here, "MLP116", f"the job has no input '{port}'.{known(port, list(given))}")
            inputs = {port: binder.bind(value, place / port, None, port in optional) for port, value in given.items()}
            optional |= {port for port, value in inputs.items() if isinstance(value, InputData) and value.optional}
        else:
            ports = draft.component.inputs
            optional = {name for name, port in ports.items() if port is not None and port.is_optional}
            inputs = self._component_inputs(ports, given, place, binder)
            for number, port in enumerate(airflow.optional_inputs):
                here = draft.place / "airflow" / "optional_inputs" / number
                self._faults.add(
                    here, "MLP025", f"the component says what is optional; write 'optional: true' for '{port}' there."
                )
        if keys.airflow is not None:
            inputs = apply_input_keys(inputs, keys.airflow, draft.place / "airflow", self._scope, self._faults)
        if draft.kind != "data_transfer":
            refuse_transfer_keys(inputs, airflow, draft.place, self._faults)
        return inputs, optional

    def _component_inputs(
        self, ports: dict[str, Port | None], given: dict[str, Any], place: Place, binder: InputBinder
    ) -> dict[str, InputValue]:
        inputs: dict[str, InputValue] = {}
        for name in given:
            if name not in ports:
                hint = known(name, list(ports))
                self._faults.add(place / name, "MLP111", f"the component has no input '{name}'.{hint}", of_key=True)
        for name, port in ports.items():
            if given.get(name) is not None:
                optional = port is not None and port.is_optional
                inputs[name] = binder.bind(given[name], place / name, port, optional)
            elif isinstance(port, ScalarPort) and port.parameter.default is not None:
                inputs[name] = port.parameter.default
            elif port is not None and not port.is_optional and (not place.is_written or place.text is None):
                kind = port.parameter.type if isinstance(port, ScalarPort) else port.type
                self._faults.add(place, "MLP110", f"the component needs its input '{name}' ({kind}).", of_key=True)
        return inputs

    def _variables(self, definition: Any, there: Place, keys: JobKeys, here: Place) -> dict[str, str]:
        variables = texts(definition.environment_variables, there / "environment_variables", self._faults)
        if definition is not keys:
            variables |= texts(keys.environment_variables, here / "environment_variables", self._faults)
        for name, value in variables.items():
            place = (here if name in (keys.environment_variables or {}) else there) / "environment_variables" / name
            if not name or "=" in name or "\0" in name:
                self._faults.add(
                    place, "MLP030", f"'{name}' cannot be the name of an environment variable.", of_key=True
                )
            if "${{" in value:
                text = (
                    "expressions are not read in environment variables; every input is in MLPIPE_INPUT_<port> already."
                )
                self._faults.add(place, "MLP041", text)
        return variables

    def _timeout(self, keys: JobKeys, definition: Any) -> float | None:
        limits = getattr(keys, "limits", None) or getattr(definition, "limits", None)
        return limits.timeout if limits else None

    def _ttl(self, airflow: JobAirflowKeys, place: Place) -> float | None:
        seconds = duration(airflow.ttl, place, self._faults)
        if seconds == 0:
            self._faults.add(place, "MLP024", "must be longer than 0; for no reuse at all write 'allow_reuse: false'.")
            return None
        return seconds

    def _work(
        self, draft: Draft, definition: Any, source: Source, ports: PortTexts, inputs: dict[str, InputValue]
    ) -> dict[str, Any]:
        """Return the fields that belong to one kind of step."""
        place = source.place
        if draft.kind == "data_transfer":
            return transfer_fields(draft, inputs, self._faults)
        more: dict[str, Any] = {
            "additional_includes": includes(
                definition.additional_includes, place / "additional_includes", source, self._faults
            )
        }
        if draft.kind == "parallel":
            return more | parallel_task(draft, source, ports, inputs, self._faults)
        if definition.command is None:
            if not (place / "command").is_written:
                self._faults.add(place, "MLP022", "the key 'command' is missing (or 'component').", of_key=True)
            return more
        code = code_folder(definition.code, place / "code", source, self._faults)
        if definition.code is None or code is not None:
            folder = source.folder / code if code is not None else None
            check_script(definition.command, folder, more["additional_includes"], place / "command", self._faults)
        return more | {
            "command": ports.command(definition.command, place / "command"),
            "code": code,
            "environment": environment(definition.environment, place / "environment", source, self._faults),
        }

    def _machines(self, resources: Resources | None, place: Place, kind: str) -> None:
        if resources is None or resources.instance_count == 1:
            return
        here = place / "resources" / "instance_count"
        if kind == "parallel":
            self._faults.add(here, "MLP201", "is not used: mini-batches run in several processes on one machine.")
        else:
            self._faults.add(
                here, "MLP027", "is not supported: jobs over several machines are not supported yet; write 1."
            )

    def _run_after(self, name: str, airflow: JobAirflowKeys, place: Place) -> list[str]:
        found = []
        for number, other in enumerate(airflow.run_after):
            here = place / "airflow" / "run_after" / number
            if other == name:
                self._faults.add(here, "MLP118", "a job cannot run after itself.")
            elif other not in self._scope.jobs:
                self._faults.add(here, "MLP115", f"there is no job '{other}'.{known(other, list(self._scope.jobs))}")
            else:
                found.append(other)
        return found

    def _options(self, airflow: JobAirflowKeys, place: Place) -> StepOptions:
        return StepOptions(
            run_after=tuple(dict.fromkeys(airflow.run_after)),
            retries=airflow.retries,
            retry_delay=duration(airflow.retry_delay, place / "retry_delay", self._faults),
            pool=airflow.pool,
            queue=airflow.queue,
            priority_weight=airflow.priority_weight,
            execution_timeout=duration(airflow.execution_timeout, place / "execution_timeout", self._faults),
        )
