"""Names under which outputs are registered: a job that becomes many steps gives each of them a name of its own."""

from __future__ import annotations

import re
from dataclasses import replace

from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.job_inputs import given_inputs
from airflow_mlpipe.spec.jobs import Draft
from airflow_mlpipe.spec.ports import ScalarPort
from airflow_mlpipe.spec.scope import Produced
from airflow_mlpipe.spec.structure import describe, known

_REFERENCE = re.compile(r"\$\{\{ *inputs\.([A-Za-z0-9_]+) *\}\}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}", re.ASCII)


def with_names(draft: Draft, faults: Faults) -> Draft:
    """Return a job whose outputs have their names: each ``${{inputs.x}}`` in one gives way to the value of that input.

    A DAG file lists what its tasks register, so the value must be written in the pipeline: text or a whole number.
    """
    written = {port: made for port, made in (draft.outputs or {}).items() if "${{" in (made.data.name or "")}
    if not written:
        return draft
    values = _values(draft)
    named = {
        port: _named(made, values, draft.place / "outputs" / port / "name", faults) for port, made in written.items()
    }
    return replace(draft, outputs={**(draft.outputs or {}), **named})


def _values(draft: Draft) -> dict[str, object]:
    """Return what is written for each input; a component may have a default."""
    ports = draft.component.inputs if draft.component else {}
    defaults = {name: port.parameter.default for name, port in ports.items() if isinstance(port, ScalarPort)}
    return {**defaults, **{port: value for port, (value, _) in given_inputs(draft).items()}}


def _named(made: Produced, values: dict[str, object], place: Place, faults: Faults) -> Produced:
    name: str | None = made.data.name or ""
    for reference in _REFERENCE.finditer(made.data.name or ""):
        text = _text(reference[0], reference[1], values, place, faults)
        name = None if name is None or text is None else name.replace(reference[0], text)
    if name is not None and not _NAME.fullmatch(name):
        rule = "at most 255 letters, digits, '_', '-' and '.', first a letter, a digit or '_'"
        faults.add(place, "MLP030", f"'{name}' cannot be the name of an output; {rule}.")
        name = None
    return replace(made, data=replaced(made.data, name=name))


def _text(reference: str, port: str, values: dict[str, object], place: Place, faults: Faults) -> str | None:
    if port not in values:
        faults.add(place, "MLP113", f"'{reference}' names no input of this job.{known(port, list(values))}")
        return None
    value = values[port]
    if isinstance(value, bool) or not isinstance(value, str | int) or "${{" in str(value):
        why = f"'{reference}' must be text or a whole number that stands in the pipeline, not {describe(value)}"
        faults.add(place, "MLP041", f"{why}: the name of an output is known before the run.")
        return None
    return str(value)
