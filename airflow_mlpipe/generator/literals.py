"""Values as Python source: the one door through which anything enters a generated DAG file.

:func:`python_literal` writes a value the way ``ruff format`` leaves it alone, reads its own text back and accepts it
only if the same value of the same types comes out. What it does not know it refuses, so no value ever becomes code.

Only characters that Unicode 3.2 calls printable are written as they are; the standard library carries that database
beside the current one, so the same value has the same bytes on every interpreter. Control and direction characters are
escaped: they cannot make a reviewer see other code than Python does.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from unicodedata import ucd_3_2_0

from airflow_mlpipe.generator.names import is_identifier

LINE_LENGTH = 88
"""Width of generated files: the default of ``ruff format`` and Black, so that nobody's formatter touches them."""

CONSTRUCTORS = frozenset({"Asset", "Param", "callback", "changed_data", "pendulum.datetime", "timedelta"})
"""The only calls that may stand inside a value."""

_MAX_DEPTH = 50
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_SOFT_HYPHEN = "\N{SOFT HYPHEN}"
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


@dataclass(frozen=True)
class Call:
    """A constructor call made of literals, ``Param(15, type="integer")``.

    :param function: one of :data:`CONSTRUCTORS`.
    """

    function: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


def python_literal(value: Any, indent: int = 0, used: int = 0) -> str:
    """Return a value as Python source, broken into lines as ``ruff format`` would accept them.

    :param value: ``None``, bool, int, finite float, str, a list or a str-keyed dict of these, or a :class:`Call`.
    :param indent: columns of the line on which the value starts.
    :param used: columns that stand before the value on that line, after the indent (``len("key=")``).
    :raises ValueError: if the value has no exact literal; the message says which part and why.
    """
    if type(value) is str:
        return _text_literal(value)
    text = _format(value, indent, used + 1, "value", 0)
    if not same(_read_back(text), value):
        raise ValueError(f"{value!r} cannot be written as Python: reading it back gives another value")
    return text


@lru_cache(maxsize=4096)
def _text_literal(value: str) -> str:
    """A text is one line wherever it stands, and pipelines say the same words again and again."""
    text = _string(value, "value")
    if _read_back(text) != value:
        raise ValueError(f"{value!r} cannot be written as Python: reading it back gives another value")
    return text


def escape(text: str, quote: str = "") -> str:
    """Return text on one line, everything that is not plainly printable as a backslash escape."""
    if text.isascii() and text.isprintable() and "\\" not in text and not (quote and quote in text):
        return text
    return "".join(_escape_character(character, quote) for character in text)


def width(text: str) -> int:
    """Return an upper bound of the columns that a formatter counts for a line."""
    if text.isascii():
        return len(text)
    return sum(1 if ord(character) < 0x300 else 3 for character in text)


def _escape_character(character: str, quote: str) -> str:
    if character == quote:
        return "\\" + character
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if " " <= character <= "~":
        return character
    code = ord(character)
    if code >= 0x80 and character != _SOFT_HYPHEN and ucd_3_2_0.category(character) not in _UNPRINTABLE:
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _string(text: str, where: str) -> str:
    if not text.isascii() and any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise ValueError(f"{where}: a lone surrogate is not text and cannot be written to a file")
    quote = "'" if text.count('"') > text.count("'") else '"'
    return f"{quote}{escape(text, quote)}{quote}"


def _number(value: float, where: str) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{where}: {value} has no literal in Python; write a finite number")
    return repr(value).replace("e+", "e")


def _scalar(value: object, where: str) -> str | None:
    if value is None or type(value) is bool:
        return repr(value)
    if type(value) is int:
        try:
            return repr(value)
        except ValueError:
            raise ValueError(f"{where}: a number of more than 4300 digits cannot be written") from None
    if type(value) is float:
        return _number(value, where)
    return _string(value, where) if type(value) is str else None


def _format(value: Any, indent: int, used: int, where: str, depth: int) -> str:
    """Write flat if the line has room, else one element a line, each with a comma that keeps it so.

    :param used: columns on the line beside the indent and the value, the comma after it included.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"{where}: nested deeper than {_MAX_DEPTH} levels")
    scalar = _scalar(value, where)
    if scalar is not None:
        return scalar
    opening, closing, elements = _elements(value, where)
    flat = [prefix + _format(part, 0, -(10**9), place, depth + 1) for prefix, part, place in elements]
    line = opening + ", ".join(flat) + closing
    if not elements or indent + used + width(line) <= LINE_LENGTH:
        return line
    inner = indent + 4
    parts = [prefix + _format(part, inner, width(prefix) + 1, place, depth + 1) for prefix, part, place in elements]
    return "\n".join([opening, *(f"{' ' * inner}{part}," for part in parts), " " * indent + closing])


def _elements(value: Any, where: str) -> tuple[str, str, list[tuple[str, Any, str]]]:
    """Return the brackets of a container and its elements as (text before it, element, place for messages)."""
    if type(value) is list:
        return "[", "]", [("", part, f"{where}[{index}]") for index, part in enumerate(value)]
    if type(value) is dict:
        return "{", "}", [(f"{_key(key, where)}: ", part, f"{where}.{key}") for key, part in value.items()]
    if type(value) is Call and value.function in CONSTRUCTORS:
        named = [(f"{identifier(key)}=", part, f"{where}.{key}") for key, part in value.kwargs.items()]
        plain = [("", part, f"{where}[{index}]") for index, part in enumerate(value.args)]
        return f"{value.function}(", ")", [*plain, *named]
    raise ValueError(f"{where}: {value!r} ({type(value).__name__}) is not a plain value")


def _key(key: object, where: str) -> str:
    if type(key) is not str:
        raise ValueError(f"{where}: the key {key!r} is not text")
    return _string(key, where)


def identifier(name: str) -> str:
    """Return the name if it is an ASCII Python identifier and no keyword.

    :raises ValueError: otherwise.
    """
    if not is_identifier(name):
        raise ValueError(f"{name!r} is not an identifier")
    return name


def _read_back(text: str) -> Any:
    return evaluate(ast.parse(text, mode="eval").body)


def evaluate(node: ast.expr) -> Any:
    """Return the value that a generated expression stands for, without running anything.

    :raises ValueError: if it is anything but literals and calls of :data:`CONSTRUCTORS`.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List):
        return [evaluate(element) for element in node.elts]
    if isinstance(node, ast.Dict):
        return {_key_of(key): evaluate(part) for key, part in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Call) and ast.unparse(node.func) in CONSTRUCTORS:
        named = {str(keyword.arg): evaluate(keyword.value) for keyword in node.keywords}
        return Call(ast.unparse(node.func), tuple(evaluate(part) for part in node.args), named)
    return ast.literal_eval(node)


def _key_of(key: ast.expr | None) -> object:
    if key is None:
        raise ValueError("'**' has no place in a value")
    return key.value if isinstance(key, ast.Constant) else ast.literal_eval(key)


def same(left: Any, right: Any) -> bool:
    """Equal values of equal types, recursively; ``-0.0`` is not ``0.0`` and the order of keys counts."""
    if type(left) is not type(right):
        return False
    if type(left) is float:
        return repr(left) == repr(right)
    if type(left) is list or type(left) is tuple:
        return _all_same(left, right)
    if type(left) is dict:
        return list(left) == list(right) and _all_same(left.values(), right.values())
    if type(left) is Call:
        return left.function == right.function and same(left.args, right.args) and same(left.kwargs, right.kwargs)
    return bool(left == right)


def _all_same(left: Iterable[Any], right: Iterable[Any]) -> bool:
    left, right = list(left), list(right)
    return len(left) == len(right) and all(map(same, left, right))
