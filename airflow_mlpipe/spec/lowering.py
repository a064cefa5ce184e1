"""From a job to a step: everything that the file decides is decided here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.bindings import InputBinder
from airflow_mlpipe.spec.callbacks import callback_name
from airflow_mlpipe.spec.checks import PortTexts
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import JobAirflowKeys
from airflow_mlpipe.spec.job_documents import JobKeys
from airflow_mlpipe.spec.job_inputs import JobInputs
from airflow_mlpipe.spec.jobs import Draft
from airflow_mlpipe.spec.later_kinds import NOT_YET
from airflow_mlpipe.spec.later_lowering import DefinitionReader
from airflow_mlpipe.spec.lowered import Lowered
from airflow_mlpipe.spec.machine_keys import machine_fields
from airflow_mlpipe.spec.model import StepOptions
from airflow_mlpipe.spec.parallel_keys import parallel_task
from airflow_mlpipe.spec.paths import Source
from airflow_mlpipe.spec.scope import Scope
from airflow_mlpipe.spec.software import check_script, code_folder, compute_name, environment, includes
from airflow_mlpipe.spec.step import InputValue
from airflow_mlpipe.spec.structure import texts
from airflow_mlpipe.spec.times import duration
from airflow_mlpipe.spec.transfer_keys import transfer_fields


@dataclass(frozen=True)
class Defaults:
    """What a pipeline says for all of its jobs."""

    compute: str | None = None
    force_rerun: bool = False
    options: StepOptions = field(default_factory=StepOptions)


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
        written = self._scope.source
        source = component.source if component else Source(draft.place, written.base, written.folder)
        definition = component.keys if component else keys
        airflow = keys.airflow or JobAirflowKeys()
        binder = InputBinder(draft.name, self._scope, self._faults)
        inputs, optional = JobInputs(self._scope, self._faults).read(draft, binder)
        ports = PortTexts(component.inputs if component else inputs, optional, draft.outputs, self._faults)
        fields: dict[str, Any] = {
            "name": self._scope.step(draft.name),
            "type": draft.kind,
            "inputs": inputs,
            "outputs": {port: output.data for port, output in draft.outputs.items()},
            "compute": self._compute(draft, keys) or self._defaults.compute,
            "environment_variables": self._variables(definition, source.place, keys, draft.place)
            if draft.kind != "data_transfer"
            else {},
            "is_deterministic": definition.is_deterministic and airflow.allow_reuse and not self._defaults.force_rerun,
            "reuse_version": airflow.reuse_version,
            "ttl": self._ttl(airflow, draft.place / "airflow" / "ttl"),
            "timeout": self._timeout(keys, definition),
        }
        later = DefinitionReader(self._scope, binder, self._faults)
        if draft.kind in NOT_YET:
            fields["definition"] = later.read(keys, draft.place)
        else:
            fields |= self._work(draft, definition, source, ports, inputs)
        said = [(definition, source.place), (keys, draft.place)] if component else [(keys, draft.place)]
        if draft.kind not in NOT_YET:
            fields |= machine_fields(draft.kind, said, self._faults)
        options = self._shown(draft, self.options(airflow, draft.place / "airflow"))
        return Lowered(fields, binder.upstream, options, draft.place, tuple(later.after))

    def _compute(self, draft: Draft, keys: JobKeys) -> str | None:
        """A data transfer needs no target: the worker copies."""
        if draft.kind == "data_transfer":
            return None
        return compute_name(keys.compute, draft.place / "compute", self._faults)

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
        return getattr(limits, "timeout", None)

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

    def options(self, airflow: JobAirflowKeys, place: Place) -> StepOptions:
        """Return what Airflow is told about a job; what it does not say, the pipeline that holds it may have said."""
        said: dict[str, Any] = {
            "run_after": tuple(dict.fromkeys(airflow.run_after)) or None,
            "retries": airflow.retries,
            "retry_delay": duration(airflow.retry_delay, place / "retry_delay", self._faults),
            "pool": airflow.pool,
            "queue": airflow.queue,
            "priority_weight": airflow.priority_weight,
            "execution_timeout": duration(airflow.execution_timeout, place / "execution_timeout", self._faults),
            **{
                key: callback_name(getattr(airflow, key), place / key, self._faults)
                for key in ("on_failure", "on_success", "on_retry")
            },
        }
        return replaced(self._defaults.options, **{key: value for key, value in said.items() if value is not None})

    def _shown(self, draft: Draft, options: StepOptions) -> StepOptions:
        """Return the options with what people see of the job: the job's own words go before the component's."""
        keys, component = draft.keys, draft.component.keys if draft.component else None
        name = (keys.display_name if keys else None) or (component.display_name if component else None)
        words = [(keys.description if keys else None) or (component.description if component else None) or ""]
        if draft.component is not None and component is not None and component.name is not None:
            version = draft.component.version or (draft.component.source.place / "version").text
            asked = f" ({draft.component.asked})" if draft.component.asked else ""
            words.append(f"Component {component.name}" + (f", version {version}{asked}." if version else "."))
        text = "\n\n".join(word for word in words if word)
        return replaced(options, display_name=name or "", documentation=text)
