"""Text that is no YAML: the parser's words, the place that a person would look at, and what to do."""

from __future__ import annotations

import yaml

from airflow_mlpipe.spec.diagnostics import Position

_ESCAPE = "In double quotes a backslash begins an escape; write two, or use single quotes."
_ADVICE = {
    "mapping values are not allowed in this context": "Put text with ': ' in it in quotes; else check the indentation.",
    "did not find expected key": "Check the indentation, and quotes and brackets around here.",
    "did not find expected '-' indicator": "Check the indentation; a list has a '-' before each item.",
    "found unknown escape character": _ESCAPE,
    "did not find expected hexdecimal number": _ESCAPE,
    "could not find expected ':'": "A key is followed by ': '.",
    "did not find expected node content": "Put text that begins with a bracket or a comma in quotes.",
    "did not find expected <document start>": "Check the indentation of the first lines; nothing may follow '...'.",
    "control characters are not allowed": 'Write it as an escape in double quotes, such as "\\e".',
    "did not find expected comment or line break": "The text of a block begins on the line below '|' or '>'.",
}
_AT_THE_START = ("found unexpected end of stream", "could not find expected ':'")
"""Problems that the parser notices far below the line that has to be changed."""


def explain(error: yaml.YAMLError, text: str) -> tuple[Position, str]:
    """Return where to look and a sentence or two.

    :param text: the whole file.
    """
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    began, here = getattr(error, "context_mark", None), getattr(error, "problem_mark", None)
    mark = began if began is not None and problem in _AT_THE_START else here or began
    if mark is None:
        before = text[: getattr(error, "position", 0)]
        at = Position(before.count("\n") + 1, len(before) - before.rfind("\n"))
    else:
        at = Position(mark.line + 1, mark.column + 1)
    words = ", ".join(part for part in (getattr(error, "context", None), problem) if part)
    return at, f"not valid YAML: {words}. {_advice(problem, began, at, text)}".rstrip()


def _advice(problem: str, began: yaml.Mark | None, at: Position, text: str) -> str:
    if problem == "found unexpected end of stream":
        return "The quote that is opened here is never closed."
    if problem.startswith("did not find expected ','") and began is not None:
        return f"The bracket in line {began.line + 1}, column {began.column + 1} is not closed before this place."
    if problem == "found character that cannot start any token":
        lines = text.split("\n")
        character = lines[at.line - 1][at.column - 1 : at.column] if at.line <= len(lines) else ""
        return (
            "Indent with blanks, not with tabs."
            if character == "\t"
            else f"Put text that begins with '{character}' in quotes."
        )
    return _ADVICE.get(problem, "")
