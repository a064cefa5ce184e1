"""A step's command as shell text that holds no value of the user's: values come through the environment.

``--lr ${{inputs.lr}}`` becomes ``--lr "${MLPIPE_INPUT_lr}"`` and the value goes into that variable, so a value such as
``$(touch x)`` reaches the script as these ten characters. The quotes follow those that the author wrote around it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Set

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.spec import expressions
from airflow_mlpipe.spec.expressions import InputRef, OptionalPart, OutputPortRef


def input_variable(port: str) -> str:
    """Return the name of the environment variable that holds an input."""
    return f"MLPIPE_INPUT_{port}"


def output_variable(port: str) -> str:
    """Return the name of the environment variable that holds the place of an output."""
    return f"MLPIPE_OUTPUT_{port}"


class _Quotes:
    """Follows the shell's quoting from left to right."""

    def __init__(self) -> None:
        self.state = ""

    def pass_over(self, text: str) -> None:
        escaped = False
        for character in text:
            if escaped:
                escaped = False
            elif character == "\\" and self.state != "'":
                escaped = True
            elif character in "'\"" and self.state in ("", character):
                self.state = "" if self.state else character

    def reference(self, variable: str) -> str:
        if self.state == '"':
            return f"${{{variable}}}"
        if self.state == "'":
            return f"'\"${{{variable}}}\"'"
        return f'"${{{variable}}}"'


def render_command(text: str, present: Set[str], declared: Set[str], where: str) -> str:
    """Return the shell text of a command.

    :param text: as the author wrote it, with ``${{inputs.x}}``, ``${{outputs.x}}`` and optional ``$[[...]]`` parts.
    :param present: input ports that have a value in this run; an optional part that names another one drops out.
    :param declared: all input ports of the step.
    :param where: named in errors.
    :raises ParameterError: if a placeholder outside an optional part has no value.
    """
    quotes = _Quotes()
    return "".join(_render(part, quotes, present, declared, where) for part in expressions.parse_command(text))


def _render(part: object, quotes: _Quotes, present: Set[str], declared: Set[str], where: str) -> str:
    if isinstance(part, str):
        quotes.pass_over(part)
        return part
    if isinstance(part, OptionalPart):
        named = {inner.port for inner in part.parts if isinstance(inner, InputRef)}
        if not named <= present:
            return ""
        return "".join(_render(inner, quotes, present, declared, where) for inner in part.parts)
    if isinstance(part, InputRef):
        if part.port not in present:
            why = (
                "it is optional and has no value; put this part into $[[...]]"
                if part.port in declared
                else "there is no such input"
            )
            raise ParameterError(f"{where}: ${{{{inputs.{part.port}}}}} has no value: {why}.")
        return quotes.reference(input_variable(part.port))
    if isinstance(part, OutputPortRef):
        return quotes.reference(output_variable(part.port))
    raise ParameterError(f"{where}: {part} has no meaning in a command.")


def render_arguments(text: str, values: Mapping[str, str], declared: Set[str], where: str) -> list[str]:
    """Return the argument list of ``program_arguments``: the author's words, split as a shell does, then values put in.

    :param text: as the author wrote it.
    :param values: port to text, inputs as ``inputs.x`` and outputs as ``outputs.x``.
    :param declared: all input ports of the step.
    :param where: named in errors.
    :raises ParameterError: if a placeholder has no value or a quote is left open.
    """
    held: list[str] = []
    pieces = [_hold(part, values, held, declared, where) for part in expressions.parse_command(text)]
    try:
        words = shlex.split("".join(pieces))
    except ValueError as error:
        raise ParameterError(f"{where}: {text!r} cannot be split into words: {error}.") from None
    return [_put_back(word, held) for word in words]


def _hold(part: object, values: Mapping[str, str], held: list[str], declared: Set[str], where: str) -> str:
    if isinstance(part, str):
        return part.replace("\0", "")
    if isinstance(part, OptionalPart):
        named = {f"inputs.{inner.port}" for inner in part.parts if isinstance(inner, InputRef)}
        if not named <= values.keys():
            return ""
        return "".join(_hold(inner, values, held, declared, where) for inner in part.parts)
    key = f"inputs.{part.port}" if isinstance(part, InputRef) else f"outputs.{getattr(part, 'port', '')}"
    if key not in values:
        raise ParameterError(f"{where}: ${{{{{key}}}}} has no value.")
    held.append(values[key])
    return f"\0{len(held) - 1}\0"


def _put_back(word: str, held: list[str]) -> str:
    pieces = word.split("\0")
    return "".join(held[int(piece)] if index % 2 else piece for index, piece in enumerate(pieces))
