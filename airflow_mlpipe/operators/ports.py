"""From the arguments of an operator to a checked step, as strictly as a pipeline file is checked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.frozen import Misfit, checked, keys, misfits
from airflow_mlpipe.spec import expressions
from airflow_mlpipe.spec.expressions import InputRef, OptionalPart, OutputPortRef, OutputRef
from airflow_mlpipe.spec.step import InputData, Step


class StepTask(Protocol):
    """What an output must know of the task that writes it."""

    @property
    def task_id(self) -> str:
        """Name of the task, and of its step."""

    @property
    def step(self) -> Step:
        """The step that the task is."""


class StepOutput:
    """An output of a step, to be given to another step as an input: ``inputs={"features":
    prepare.outputs["features"]}``.

    :param operator: the step that writes it.
    :param port: name of the output.
    """

    def __init__(self, operator: StepTask, port: str) -> None:
        self.operator = operator
        self.port = port

    @property
    def type(self) -> str:
        """Azure ML data type of the output."""
        return self.operator.step.outputs[self.port].type

    def __str__(self) -> str:
        """Return the binding, ``${{parent.jobs.<step>.outputs.<port>}}``."""
        return str(OutputRef(self.operator.task_id, self.port))


class StepOutputs(Mapping[str, StepOutput]):
    """All outputs of a step by name."""

    def __init__(self, operator: StepTask, ports: Iterable[str]) -> None:
        self._operator = operator
        self._ports = tuple(ports)

    def __getitem__(self, port: str) -> StepOutput:
        """Return an output.

        :raises ConfigError: if the step has none of that name.
        """
        if port not in self._ports:
            raise ConfigError(f"Step {self._operator.task_id} has no output {port!r}.{_choices(port, self._ports)}")
        return StepOutput(self._operator, port)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ports)

    def __len__(self) -> int:
        return len(self._ports)


def plain_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs as plain values; an output of another step, given as object or text, becomes data at a binding."""
    return {port: _plain_input(value) for port, value in inputs.items()}


def _plain_input(value: Any) -> Any:
    if isinstance(value, StepOutput):
        return {"type": value.type, "path": str(value)}
    if isinstance(value, Mapping) and isinstance(value.get("path"), StepOutput):
        return {"type": value["path"].type, **value, "path": str(value["path"])}
    if isinstance(value, str) and _output_ref(value) is not None:
        return {"path": value}
    return value


def as_value(value: Any, kind: str) -> Any:
    """Return what stands for a value of a type: a literal or text as it is, the output of a step as its value."""
    plain = _plain_input(value)
    return {"type": "uri_file", **plain, "value": kind} if isinstance(plain, Mapping) else plain


def _output_ref(text: str) -> OutputRef | None:
    try:
        parts = expressions.parse(text)
    except ValueError:
        return None
    return parts[0] if len(parts) == 1 and isinstance(parts[0], OutputRef) else None


def producers(inputs: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the operators whose outputs were given as inputs."""
    for value in inputs.values():
        output = value.get("path") if isinstance(value, Mapping) else value
        if isinstance(output, StepOutput):
            yield output.operator


def output_refs(step: Step) -> Iterator[tuple[str, OutputRef]]:
    """Yield each input port that reads another step's output, and which."""
    for port, value in step.inputs.items():
        ref = _output_ref(value.path) if isinstance(value, InputData) else None
        if ref is not None:
            yield port, ref


def build_step(name: str, kind: str, fields: Mapping[str, Any]) -> Step:
    """Return the checked step.

    :param name: the task id.
    :param kind: the step's type.
    :param fields: further fields of :class:`Step`.
    :raises ConfigError: naming every mistake; Airflow shows it as the import error of the DAG file.
    """
    given = {"name": name, "type": kind, **fields}
    try:
        step = checked(Step, given)
    except ValueError:
        raise ConfigError("\n".join(_sentence(name, misfit) for misfit in misfits(Step, given))) from None
    faults = list(_binding_faults(step))
    if faults:
        raise ConfigError("\n".join(f"Step {name}: {fault}" for fault in faults))
    return step


def _sentence(name: str, misfit: Misfit) -> str:
    *outer, last = misfit.where or ("",)
    if not misfit.is_unknown:
        where = "".join(f"{part}." for part in outer) + last
        given = f"; given was {misfit.given}" if misfit.given else ""
        return f"Step {name}: {where + ': ' if where else ''}{misfit.text}{given}."
    return f"Step {name}: {'.'.join(outer)}: unknown key {last!r}.{_choices(last, keys(misfit.owner))}"


def _binding_faults(step: Step) -> Iterator[str]:
    for port, value in step.inputs.items():
        text = value.path if isinstance(value, InputData) else value
        if isinstance(text, str) and "${{" in text:
            yield from _value_faults(f"inputs.{port}", text)
    if step.command is not None:
        yield from _command_faults(step, "command", step.command)
    if step.parallel is not None:
        yield from _command_faults(step, "parallel.program_arguments", step.parallel.program_arguments)
        yield from _port_faults("input", step.parallel.input, step.inputs)
        yield from _port_faults("output", step.parallel.append_row_to, step.outputs)


def _port_faults(noun: str, port: str | None, known: Iterable[str]) -> Iterator[str]:
    if port is not None and port not in known:
        yield f"parallel: there is no {noun} {port!r}.{_choices(port, known)}"


def _value_faults(where: str, text: str) -> Iterator[str]:
    try:
        parts = expressions.parse(text)
    except ValueError as error:
        yield f"{where}: {error}"
        return
    for part in parts:
        if isinstance(part, InputRef | OutputPortRef):
            hint = f"${{{{parent.inputs.{part.port}}}}} is a parameter of the run."
            yield f"{where}: {part} has no meaning in an input; {hint}"
        elif isinstance(part, OutputRef) and len(parts) > 1:
            yield f"{where}: {part} is data and must stand alone, not inside a text."


def _command_faults(step: Step, where: str, text: str) -> Iterator[str]:
    try:
        parts = expressions.parse_command(text)
    except ValueError as error:
        yield f"{where}: {error}"
        return
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, OptionalPart) else (part,))]
    for part in flat:
        if isinstance(part, InputRef) and part.port not in step.inputs:
            yield f"{where}: there is no input {part.port!r}.{_choices(part.port, step.inputs)}"
        elif isinstance(part, OutputPortRef) and part.port not in step.outputs:
            yield f"{where}: there is no output {part.port!r}.{_choices(part.port, step.outputs)}"


def _choices(word: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" There is: {', '.join(known)}." if known else " There is none."
