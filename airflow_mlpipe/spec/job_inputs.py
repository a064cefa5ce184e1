"""The inputs of one job: what it gives, what its component declares, and what its ``airflow`` block says of them."""

from __future__ import annotations

from airflow_mlpipe.spec.bindings import InputBinder
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import JobAirflowKeys
from airflow_mlpipe.spec.jobs import Draft
from airflow_mlpipe.spec.partition_keys import apply_input_keys
from airflow_mlpipe.spec.ports import Port, ScalarPort, check_port_name
from airflow_mlpipe.spec.scope import Scope
from airflow_mlpipe.spec.step import InputData, InputValue
from airflow_mlpipe.spec.structure import known
from airflow_mlpipe.spec.transfer_keys import refuse_transfer_keys


class JobInputs:
    """Reads the inputs of the jobs of one pipeline."""

    def __init__(self, scope: Scope, faults: Faults) -> None:
        self._scope = scope
        self._faults = faults

    def read(self, draft: Draft, binder: InputBinder) -> tuple[dict[str, InputValue], set[str]]:
        """Return the inputs by port, and the names of those that may be absent."""
        airflow = (draft.keys.airflow if draft.keys else None) or JobAirflowKeys()
        if draft.component is None:
            inputs, optional = self._given(draft, airflow, binder)
        else:
            inputs, optional = self._declared(draft, airflow, binder, draft.component.inputs)
        inputs = apply_input_keys(inputs, airflow, draft.place / "airflow", self._scope, self._faults)
        if draft.kind not in ("data_transfer", "pipeline"):
            refuse_transfer_keys(inputs, airflow, draft.place, self._faults)
        return inputs, optional

    def _given(
        self, draft: Draft, airflow: JobAirflowKeys, binder: InputBinder
    ) -> tuple[dict[str, InputValue], set[str]]:
        """A job without component has the inputs that it gives."""
        given, place = given_inputs(draft), draft.place / "inputs"
        optional = set(airflow.optional_inputs)
        for port in given:
            check_port_name(port, place / port, self._faults)
        for number, port in enumerate(airflow.optional_inputs):
            if port not in given:
                here = draft.place / "airflow" / "optional_inputs" / number
                self._faults.add(here, "MLP116", f"the job has no input '{port}'.{known(port, list(given))}")
        inputs = {port: binder.bind(value, where, None, port in optional) for port, (value, where) in given.items()}
        optional |= {port for port, value in inputs.items() if isinstance(value, InputData) and value.optional}
        return inputs, optional

    def _declared(
        self, draft: Draft, airflow: JobAirflowKeys, binder: InputBinder, ports: dict[str, Port | None]
    ) -> tuple[dict[str, InputValue], set[str]]:
        """A component says which inputs there are."""
        optional = {name for name, port in ports.items() if port is not None and port.is_optional}
        for number, port in enumerate(airflow.optional_inputs):
            here = draft.place / "airflow" / "optional_inputs" / number
            self._faults.add(
                here, "MLP025", f"the component says what is optional; write 'optional: true' for '{port}' there."
            )
        given, place = given_inputs(draft), draft.place / "inputs"
        inputs: dict[str, InputValue] = {}
        for name, (_, where) in given.items():
            if name not in ports:
                hint = known(name, list(ports))
                self._faults.add(where, "MLP111", f"the component has no input '{name}'.{hint}", of_key=True)
        for name, declared in ports.items():
            value, where = given.get(name, (None, place))
            if value is not None:
                inputs[name] = binder.bind(value, where, declared, name in optional)
            elif isinstance(declared, ScalarPort) and declared.parameter.default is not None:
                inputs[name] = declared.parameter.default
            elif declared is not None:
                self._absent(name, declared, place, inputs)
        return inputs, optional

    def _absent(self, name: str, port: Port, place: Place, inputs: dict[str, InputValue]) -> None:
        if port.is_optional:
            inputs[name] = None
        elif not place.is_written or place.text is None:
            kind = port.parameter.type if isinstance(port, ScalarPort) else port.type
            self._faults.add(place, "MLP110", f"the component needs its input '{name}' ({kind}).", of_key=True)


def given_inputs(draft: Draft) -> dict[str, tuple[object, Place]]:
    """Return what the job gives for each port, and where it is written."""
    given = (draft.keys.inputs if draft.keys else None) or {}
    place = draft.place / "inputs"
    return {port: (value, place / port) for port, value in given.items()} | draft.overrides
