"""From a plan to the text of a DAG file, through a jinja2 template that can print nothing but checked text.

The environment is sandboxed and strict, and whatever a template prints must come out of one of our filters: an
expression that prints a bare value fails. The finished text is read back and compared with the plan before anyone sees
it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    Undefined,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.generator.literals import LINE_LENGTH, escape, identifier, python_literal
from airflow_mlpipe.generator.plan import DagPlan
from airflow_mlpipe.generator.verify import verify

_TEMPLATE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-]*", re.ASCII)
_SUFFIX = ".py.j2"


class _Code(str):
    """Text that may stand in a DAG file as it is."""

    __slots__ = ()


class _Environment(ImmutableSandboxedEnvironment):
    """Knows which text came out of a template or a filter."""

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Join what a block or macro printed; each part has been checked already."""
        return _Code("".join(parts))


class Renderer:
    """Renders plans with the templates of this package and, before them, those of a folder of the user.

    :param templates: folder of ``<name>.py.j2``; they may extend ours, ``{% extends "mlpipe/general.py.j2" %}``.
    """

    def __init__(self, templates: Path | None = None) -> None:
        ours = PackageLoader("airflow_mlpipe", "dag_templates")
        loaders: list[BaseLoader] = [ours, PrefixLoader({"mlpipe": ours})]
        if templates is not None:
            loaders.insert(0, FileSystemLoader(templates))
        self._environment = _Environment(
            loader=ChoiceLoader(loaders),
            autoescape=False,
            undefined=StrictUndefined,
            finalize=_only_code,
            keep_trailing_newline=True,
        )
        self._environment.filters = {
            "py": _coded(python_literal),
            "identifier": _coded(identifier),
            "comment": _coded(comment),
            "prose": _coded(prose),
            "drawn": _coded(drawn),
            "edge": _coded(edge),
            "blanks": _coded(blanks),
            "length": len,
        }

    @property
    def names(self) -> list[str]:
        """Names of the templates that can be asked for."""
        found = self._environment.list_templates(filter_func=lambda name: "/" not in name and name.endswith(_SUFFIX))
        return sorted({name.removesuffix(_SUFFIX) for name in found})

    def render(self, plan: DagPlan) -> str:
        """Return the text of the DAG file.

        :raises ConfigError: if the template is not there, is broken, does not fit the pipeline or wrote something else
            than the plan.
        """
        try:
            text = str(self._template(plan.template).render(dag=plan))
        except (TemplateError, TypeError, ValueError) as error:
            raise ConfigError(f"{plan.source}: the template '{plan.template}' cannot be rendered: {error}") from error
        verify(text, plan)
        return text

    def _template(self, name: str) -> Template:
        if _TEMPLATE_NAME.fullmatch(name):
            try:
                return self._environment.get_template(f"{name}{_SUFFIX}")
            except TemplateNotFound as error:
                if error.name != f"{name}{_SUFFIX}":
                    raise
        raise ConfigError(
            f"There is no template '{name}'. Known: {', '.join(self.names)}. "
            f"Your own go into a folder as <name>{_SUFFIX} (mlpipe generate --templates FOLDER)."
        )


def comment(text: str) -> str:
    """Return text that may follow ``#``: one line, control characters escaped, no blanks at the end."""
    return escape(text).rstrip()


def prose(text: str, indent: int = 0) -> str:
    """Return a paragraph of the docstring: blanks folded, wrapped, nothing in it that could end the string.

    :param indent: columns of the second and further lines.
    """
    folded = " ".join(text.split()).replace('"', "'")
    wrapped = textwrap.wrap(
        folded, LINE_LENGTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(escape(line) for line in wrapped)


def drawn(line: str) -> str:
    """Return a line of a picture in the docstring: its blanks stay, nothing in it can end the string."""
    return escape(line, '"').rstrip()


def blanks(columns: int) -> str:
    """Return the blanks at the beginning of a line."""
    return " " * columns


def edge(variables: tuple[tuple[str, ...], tuple[str, ...]], indent: int = 0) -> str:
    """Return ``a >> b`` or ``[a, b] >> c`` as the formatter leaves it."""
    before, after = ([identifier(name) for name in names] for names in variables)
    line = f"{_names(before)} >> {_names(after)}"
    if indent + len(line) <= LINE_LENGTH:
        return line
    if len(after) > 1 or len(before) == 1:
        return f"{_names(before)} >> {_broken(after, indent)}"
    return f"{_broken(before, indent)} >> {_names(after)}"


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _broken(names: list[str], indent: int) -> str:
    inner = "".join(f"{' ' * (indent + 4)}{name},\n" for name in names)
    return f"[\n{inner}{' ' * indent}]"


def _coded(function: Any) -> Any:
    return partial(_call_coded, function)


def _call_coded(function: Any, value: Any, *args: Any) -> _Code:
    if isinstance(value, Undefined):
        str(value)  # raises, naming what the plan does not have
    return _Code(function(value, *args))


def _only_code(value: object) -> object:
    if not isinstance(value, _Code):
        raise TypeError(
            f"it prints {value!r} without a filter; write {{{{ value | py }}}}, or identifier, comment, prose"
        )
    return value
