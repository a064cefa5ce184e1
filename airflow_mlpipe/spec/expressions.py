"""The ``${{...}}`` expressions of Azure ML and the optional ``$[[...]]`` parts of a command.

The language is closed: every expression is one of the references below, an unknown one is an error, and everything else
in a text is literal. A literal ``{{ ds }}`` stays those eight characters.

    ${{parent.inputs.<name>}}                    ParameterRef     an input of the pipeline
    ${{parent.jobs.<job>.outputs.<port>}}        OutputRef        an output of another job
    ${{parent.outputs.<name>}}                   PipelineOutputRef   an output of the pipeline; only on a job's output
    ${{inputs.<port>}}                           InputRef         an input of this job
    ${{outputs.<port>}}                          OutputPortRef    an output of this job
    ${{airflow.<field>}}                         RunFieldRef      a field of the run, one of RUN_FIELDS
    ${{creation_context.trigger_time}}           RunFieldRef("ts")

White space inside the braces does not count. ``str(reference)`` prints the one canonical form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

RUN_FIELDS: frozenset[str] = frozenset(
    {
        "dag_id",
        "data_interval_end",
        "data_interval_start",
        "ds",
        "logical_date",
        "partition_key",
        "run_id",
        "run_type",
        "ts",
    }
)
"""What ``${{airflow.<field>}}`` may name."""


class ParameterRef(Struct, frozen=True):
    """``${{parent.inputs.<name>}}``: an input of the pipeline."""

    name: str

    def __str__(self) -> str:
        """Return the canonical text."""
        return f"${{{{parent.inputs.{self.name}}}}}"


class OutputRef(Struct, frozen=True):
    """``${{parent.jobs.<job>.outputs.<port>}}``: an output of another job."""

    job: str
    port: str

    def __str__(self) -> str:
        """Return the canonical text."""
        return f"${{{{parent.jobs.{self.job}.outputs.{self.port}}}}}"


class PipelineOutputRef(Struct, frozen=True):
    """``${{parent.outputs.<name>}}``: an output of the pipeline, only on a job's output; no step holds one."""

    name: str

    def __str__(self) -> str:
        """Return the canonical text."""
        return f"${{{{parent.outputs.{self.name}}}}}"


class RunFieldRef(Struct, frozen=True):
    """``${{airflow.<name>}}``: a field of the run, one of :data:`RUN_FIELDS`."""

    name: str

    def __str__(self) -> str:
        """Return the canonical text."""
        return f"${{{{airflow.{self.name}}}}}"


class InputRef(Struct, frozen=True):
    """``${{inputs.<port>}}``: an input of this job."""

    port: str

    def __str__(self) -> str:
        """Return the canonical text."""
        return f"${{{{inputs.{self.port}}}}}"


class OutputPortRef(Struct, frozen=True):
    """``${{outputs.<port>}}``: an output of this job."""

    port: str

    def __str__(self) -> str:
        """Return the canonical text."""
        return f"${{{{outputs.{self.port}}}}}"


Ref = ParameterRef | OutputRef | PipelineOutputRef | RunFieldRef | InputRef | OutputPortRef
Part = str | Ref


class OptionalPart(Struct, frozen=True):
    """``$[[...]]``: drops out of the command when an input that it names is absent."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        """Return the canonical text."""
        return f"$[[{unparse(self.parts)}]]"

    @property
    def ports(self) -> frozenset[str]:
        """The inputs that must be there for this part to stay."""
        return frozenset(part.port for part in self.parts if isinstance(part, InputRef))


CommandPart = Part | OptionalPart

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_PORT = r"[A-Za-z_][A-Za-z0-9_]*"
_JOB = r"[A-Za-z_][A-Za-z0-9_.\-]*"
_FORMS: tuple[tuple[re.Pattern[str], type], ...] = (
    (re.compile(rf"parent\s*\.\s*inputs\s*\.\s*({_PORT})"), ParameterRef),
    (re.compile(rf"parent\s*\.\s*jobs\s*\.\s*({_JOB})\s*\.\s*outputs\s*\.\s*({_PORT})"), OutputRef),
    (re.compile(rf"parent\s*\.\s*outputs\s*\.\s*({_PORT})"), PipelineOutputRef),
    (re.compile(rf"inputs\s*\.\s*({_PORT})"), InputRef),
    (re.compile(rf"outputs\s*\.\s*({_PORT})"), OutputPortRef),
)
_RUN_FIELD = re.compile(r"airflow\s*\.\s*(.*)", re.DOTALL)
_TRIGGER_TIME = re.compile(r"creation_context\s*\.\s*trigger_time")
_ROOTS = (
    "parent.inputs",
    "parent.jobs",
    "parent.outputs",
    "inputs",
    "outputs",
    "airflow",
    "creation_context.trigger_time",
)
_ALLOWED = (
    "${{parent.inputs.<name>}}, ${{parent.jobs.<job>.outputs.<port>}}, ${{parent.outputs.<name>}}, ${{inputs.<port>}}, "
    "${{outputs.<port>}}, ${{airflow.<field>}}, ${{creation_context.trigger_time}}"
)


def _run_field(name: str) -> RunFieldRef:
    if name not in RUN_FIELDS:
        hint = _did_you_mean(name, RUN_FIELDS)
        raise ValueError(
            f"'${{{{airflow.{name}}}}}' names no field of a run; allowed: {', '.join(sorted(RUN_FIELDS))}.{hint}"
        )
    return RunFieldRef(name)


def _unknown(inner: str) -> ValueError:
    shown = f"'${{{{{inner}}}}}'"
    if inner.startswith("search_space"):
        return ValueError(
            f"{shown} belongs to a sweep job, which is not supported here; write a value or an input instead."
        )
    if inner.startswith("jobs."):
        return ValueError(f"{shown} is not an expression. Did you mean '${{{{parent.{inner}}}}}'?")
    root = inner.rpartition(".")[0] or inner
    return ValueError(f"{shown} is not an expression; allowed: {_ALLOWED}.{_did_you_mean(root, _ROOTS)}")


def _reference(inner: str) -> Ref:
    inner = inner.strip()
    for pattern, form in _FORMS:
        match = pattern.fullmatch(inner)
        if match:
            ref: Ref = form(*match.groups())
            return ref
    field = _RUN_FIELD.fullmatch(inner)
    if field:
        return _run_field(field[1])
    if _TRIGGER_TIME.fullmatch(inner):
        return RunFieldRef("ts")
    raise _unknown(inner)


def _literal(text: str) -> str:
    if "${{" in text:
        raise ValueError(f"'{text[text.index('${{') :][:40]}' opens an expression that no '}}}}' closes.")
    return text


def parse(text: str) -> tuple[Part, ...]:
    """Split a value into literal text and references; neighbouring literals are one, empty ones are left out.

    :raises ValueError: with a sentence for the user, if an expression is malformed or unknown.
    """
    parts: list[Part] = []
    end = 0
    for match in _EXPRESSION.finditer(text):
        if match.start() > end:
            parts.append(_literal(text[end : match.start()]))
        parts.append(_reference(match[1]))
        end = match.end()
    if end < len(text):
        parts.append(_literal(text[end:]))
    return tuple(parts)


def _optional(inner: str) -> OptionalPart:
    if "$[[" in inner:
        raise ValueError(f"the optional part '$[[{inner}]]' holds another one; they cannot be nested.")
    part = OptionalPart(parse(inner))
    if not part.ports:
        raise ValueError(
            f"the optional part '$[[{inner}]]' names no input '${{{{inputs.<port>}}}}'; drop the brackets."
        )
    return part


def _required(text: str) -> tuple[Part, ...]:
    if "$[[" in text:
        raise ValueError(f"'{text[text.index('$[[') :][:40]}' opens an optional part that no ']]' closes.")
    return parse(text)


def parse_command(text: str) -> tuple[CommandPart, ...]:
    """Split a command into literal text, references and optional parts ``$[[...]]``.

    :raises ValueError: with a sentence for the user, if an expression or an optional part is malformed.
    """
    parts: list[CommandPart] = []
    end = 0
    for match in _OPTIONAL.finditer(text):
        parts.extend(_required(text[end : match.start()]))
        parts.append(_optional(match[1]))
        end = match.end()
    parts.extend(_required(text[end:]))
    return tuple(parts)


def unparse(parts: Iterable[CommandPart]) -> str:
    """Return the canonical text of parts; ``parse`` gives them back."""
    return "".join(str(part) for part in parts)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    from airflow_mlpipe.spec.diagnostics import did_you_mean  # noqa: PLC0415 - only for a mistake, not at a DAG parse

    return did_you_mean(word, known)
