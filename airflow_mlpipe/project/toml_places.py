"""Reads a TOML file and finds where each key was written, which Python's parser does not tell.

The parser itself does the reading: a statement (a table header, or ``key = value``) ends where the lines since its
start are a TOML document of their own. So there is no second grammar of TOML here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_mlpipe.spec.diagnostics import Faults, KeyPath, Mark, Place, Position

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1_000_000
_AT = re.compile(r"(?P<reason>.*?) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)


def read_toml(path: Path, file: str, faults: Faults) -> tuple[dict[str, Any], Place] | None:
    """Read a TOML file.

    :param file: its name in messages.
    :returns: the data and the place of its top; ``None`` after noting why it cannot be read.
    """
    whole = Place(file, {(): Mark(Position(1, 1), Position(1, 1))})
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            faults.add(whole, "MLP004", f"the file has {len(raw)} bytes; at most {MAX_BYTES} are read.")
            return None
        text = raw.decode()
        data = tomllib.loads(text)
    except OSError as error:
        faults.add(whole, "MLP001", f"the file cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        faults.add(whole, "MLP002", "the file is not UTF-8. Save it as UTF-8.")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        _note_syntax(str(error), text, file, faults)
    else:
        return data, Place(file, {(): Mark(Position(1, 1), Position(1, 1)), **_marks(text)})
    return None


def _note_syntax(message: str, text: str, file: str, faults: Faults) -> None:
    match = _AT.fullmatch(message)
    last = text.count("\n") + 1
    at = Position(int(match["line"] or last), int(match["column"] or 1)) if match else Position(1, 1)
    reason = match["reason"] if match else message
    faults.add(Place(file, {(): Mark(at, at)}), "MLP003", f"not valid TOML: {reason}.")


def _marks(text: str) -> dict[KeyPath, Mark]:
    """Return where the keys of a valid document stand; what is within a value stands where the value begins."""
    found: dict[KeyPath, Mark] = {}
    table: KeyPath = ()
    for line, statement in _statements(text):
        start = Position(line, len(statement) - len(statement.lstrip()) + 1)
        if statement.lstrip().startswith("["):
            table = _path(tomllib.loads(statement))
            found.setdefault(table, Mark(start, start))
            continue
        end = _end_of_key(statement)
        path = (*table, *_path(tomllib.loads(f"{statement[:end]}=0")))
        value = statement[end + 1 :]
        at = Position(line, end + 1 + len(value) - len(value.lstrip()) + 1)
        found[path] = Mark(start, at, value.strip())
        found |= {(*path, *below): Mark(at, at) for below in _below(tomllib.loads(f"x={value}")["x"])}
    return found


def _below(value: Any) -> Iterator[KeyPath]:
    """Yield the path of everything within a value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield (key,)
        yield from ((key, *rest) for rest in _below(part))


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement and the line that it starts in."""
    pending: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        pending.append(line)
        statement = "\n".join(pending)
        if not pending[0].strip() or pending[0].lstrip().startswith("#"):
            pending = []
        elif _is_whole(statement):
            yield number - len(pending) + 1, statement
            pending = []


def _is_whole(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _end_of_key(statement: str) -> int:
    """Return the index of the ``=`` that ends the key; a quoted key may hold others."""
    for index, character in enumerate(statement):
        if character == "=" and _is_whole(f"{statement[:index]}=0"):
            return index
    return len(statement)


def _path(data: Any) -> KeyPath:
    """Follow the one key of each level down."""
    path: list[str | int] = []
    while isinstance(data, dict | list) and data:
        if isinstance(data, list):
            data = data[0]
            continue
        [(key, data)] = data.items()
        path.append(key)
    return tuple(path)
