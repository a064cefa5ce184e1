"""Checks of texts with placeholders: commands, arguments, the input of a parallel job."""

from __future__ import annotations

from collections.abc import Collection

from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.expressions import (
    CommandPart,
    InputRef,
    OptionalPart,
    OutputPortRef,
    parse,
    parse_command,
    unparse,
)
from airflow_mlpipe.spec.structure import known

_HERE = "${{inputs.<port>}}, ${{outputs.<port>}}, $[[...${{inputs.<port>}}...]]"


class PortTexts:
    """Checks texts that name the ports of one job.

    :param inputs: names of the inputs.
    :param optional: those that may be absent.
    :param outputs: names of the outputs; ``None`` if they cannot be known.
    """

    def __init__(
        self, inputs: Collection[str], optional: Collection[str], outputs: Collection[str] | None, faults: Faults
    ) -> None:
        self._inputs = inputs
        self._optional = optional
        self._outputs = outputs
        self._faults = faults

    def command(self, text: str, place: Place) -> str:
        """Check a command or the arguments of a script and return its canonical form."""
        try:
            parts = parse_command(text)
        except ValueError as error:
            self._faults.add(place, "MLP040", str(error))
            return text
        for part in parts:
            if isinstance(part, OptionalPart):
                for inner in part.parts:
                    self._check(inner, place, True)
            else:
                self._check(part, place, False)
        return unparse(parts)

    def _check(self, part: CommandPart, place: Place, may_be_absent: bool) -> None:
        if isinstance(part, InputRef):
            self._input(part, place, may_be_absent)
        elif isinstance(part, OutputPortRef):
            if self._outputs is not None and part.port not in self._outputs:
                hint = known(part.port, list(self._outputs))
                self._faults.add(place, "MLP113", f"'{part}' names no output of this job.{hint}")
        elif not isinstance(part, str):
            advice = "Bind it to an input of the job and use that."
            self._faults.add(place, "MLP041", f"'{part}' cannot be used here; allowed: {_HERE}. {advice}")

    def _input(self, part: InputRef, place: Place, may_be_absent: bool) -> None:
        if part.port not in self._inputs:
            hint = known(part.port, list(self._inputs))
            self._faults.add(place, "MLP113", f"'{part}' names no input of this job.{hint}")
        elif part.port in self._optional and not may_be_absent:
            self._faults.add(
                place, "MLP114", f"'{part}' may be absent; write it within an optional part, '$[[... {part}]]'."
            )

    def port(self, text: str, place: Place, kind: type[InputRef] | type[OutputPortRef]) -> str | None:
        """Return the port that a text such as ``${{inputs.x}}`` names alone; ``None`` after noting that it does not."""
        sample = "${{inputs.<port>}}" if kind is InputRef else "${{outputs.<port>}}"
        try:
            parts = parse(text)
        except ValueError as error:
            self._faults.add(place, "MLP040", str(error))
            return None
        ref = parts[0] if len(parts) == 1 else None
        if not isinstance(ref, kind) or not isinstance(ref, InputRef | OutputPortRef):
            self._faults.add(place, "MLP041", f"must be '{sample}', got '{text}'.")
            return None
        ports = self._inputs if isinstance(ref, InputRef) else self._outputs
        if ports is not None and ref.port not in ports:
            what = "input" if isinstance(ref, InputRef) else "output"
            self._faults.add(place, "MLP113", f"'{ref}' names no {what} of this job.{known(ref.port, list(ports))}")
            return None
        return ref.port
