"""Differences between specs and DAG files: what ``mlpipe generate --check`` shows."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_HEADER = re.compile(
    r"# Written by airflow-mlpipe (?P<version>\S+) \(template \S+\): .*\n"
    r"# spec hash: (?P<spec_hash>\S+)\n"
    r"# spec: (?P<source>.+)\n"
    r"(?:# environment: (?P<environment>\S+)\n)?"
)
_HEADER_BYTES = 8192


@dataclass(frozen=True)
class Header:
    """The first lines of a DAG file that we wrote.

    :param source: the spec, relative to the file's folder.
    :param environment: of mlpipe.toml; empty for none.
    """

    version: str
    spec_hash: str
    source: str
    environment: str = ""


@dataclass(frozen=True)
class DagFile:
    """A DAG file as it should be.

    :param source: the spec that it comes from.
    """

    path: Path
    text: str
    source: Path


def read_header(path: Path) -> Header | None:
    """Return the header of a DAG file, ``None`` if the file is not there or not ours."""
    try:
        with path.open("rb") as file:
            text = file.read(_HEADER_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return None
    return parse_header(text)


def parse_header(text: str) -> Header | None:
    """Return the header that a text begins with, if it is one of ours."""
    match = _HEADER.match(text)
    if match is None:
        return None
    return Header(match["version"], match["spec_hash"], _unescape(match["source"]), match["environment"] or "")


def diff(file: DagFile) -> str:
    """Return the unified diff from the file on disk to the file as it should be."""
    old = file.path.read_text(encoding="utf-8", errors="replace") if file.path.exists() else ""
    name = file.path.as_posix()
    before = name if old else "/dev/null"
    lines = difflib.unified_diff(
        old.splitlines(), file.text.splitlines(), before, f"{name} (from {file.source.as_posix()})", lineterm=""
    )
    return "\n".join(lines)


def cause(file: DagFile) -> str:
    """Say in a few words why a file is not as it should be."""
    old, new = read_header(file.path), parse_header(file.text)
    if not file.path.exists():
        return "is not there"
    if old is None or new is None:
        return "has lost its header"
    if old.version != new.version:
        return f"was written by airflow-mlpipe {old.version}; this is {new.version}"
    if old.spec_hash != new.spec_hash:
        return "is older than its spec"
    return "was edited by hand, or its template or the lines of its spec have moved"


def orphans(folder: Path, made: Mapping[Path, Path], environment: str = "") -> list[Path]:
    """Return our DAG files in a folder whose spec is gone, or now makes a file of another name; sorted.

    :param made: DAG file to spec of what this call generates; specs outside of it are only looked for, not read.
    :param environment: for which this call generates; the files that a living spec has for another one are left alone.
    """
    expected = {path.resolve() for path in made}
    sources = {source.resolve() for source in made.values()}
    others = [path for path in sorted(folder.glob("*.py")) if path.resolve() not in expected]
    return [path for path in others if _is_orphan(path, sources, environment)]


def _is_orphan(path: Path, sources: set[Path], environment: str) -> bool:
    header = read_header(path)
    if header is None:
        return False
    source = spec_of(path, header)
    return not source.exists() or (source in sources and header.environment == environment)


def spec_of(path: Path, header: Header) -> Path:
    """Return where the spec of a DAG file lies."""
    return (path.resolve().parent / header.source).resolve()


def _unescape(text: str) -> str:
    """Undo what the ``comment`` filter did to control characters; a backslash that begins no escape is one."""
    try:
        return str(ast.literal_eval('"' + text.replace('"', '\\"') + '"'))
    except (SyntaxError, ValueError):
        return text
