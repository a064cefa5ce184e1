"""Reads a YAML file into plain values and remembers where each was written.

Only the data part of YAML is read: no anchors, aliases, tags or merge keys, one document, UTF-8, text keys, each key
once.
Built on the events of PyYAML's C parser, so nothing is ever constructed and no recursion follows the input.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from airflow_mlpipe.spec.diagnostics import Faults, KeyPath, Mark, Place, Position
from airflow_mlpipe.spec.scalars import resolve
from airflow_mlpipe.spec.yaml_words import explain

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 50_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Event = Any


@dataclass(frozen=True)
class Document:
    """A YAML file as plain values.

    :param data: the mapping at the top.
    :param root: the place of ``data``; knows every position.
    """

    data: dict[str, Any]
    root: Place


class _Stop(Exception):  # noqa: N818 - a signal, not an error
    """The rest of the file is not worth reading; the fault is noted already."""


@dataclass
class _Frame:
    """A mapping or list that is still open."""

    container: dict[str, Any] | list[Any]
    path: KeyPath
    key: str | None = None
    key_at: Position | None = None
    skip: bool = False


def _position(event: _Event) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


@dataclass
class _Builder:
    """Turns parser events into plain values."""

    file: str
    faults: Faults
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    root: Any = None
    damaged: bool = False
    stack: list[_Frame] = field(default_factory=list)
    documents: int = 0
    nodes: int = 0

    def fault(self, event: _Event, code: str, message: str, path: KeyPath = ()) -> None:
        """Note a fault at the start of an event."""
        at = _position(event)
        self.faults.add(Place(self.file, {path: Mark(at, at)}, path), code, message)

    def feed(self, event: _Event) -> None:
        """Take in the next event."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._document(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            self._node(event)

    def _document(self, event: _Event) -> None:
        self.documents += 1
        if self.documents > 1:
            self.fault(
                event, "MLP005", "a second document begins here; a file holds one. Remove the '---' or split the file."
            )
            raise _Stop

    def _node(self, event: _Event) -> None:
        self._limits(event)
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.container, dict) and frame.key is None:
            self._key(frame, event)
            return
        path = self._path(frame)
        self._refuse_extras(event, path)
        value: Any = None
        if isinstance(event, yaml.MappingStartEvent):
            value = {}
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
        elif isinstance(event, yaml.ScalarEvent):
            value = resolve(event.value) if event.style in (None, "") else event.value
        self._attach(frame, event, path, value)

    def _limits(self, event: _Event) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.fault(event, "MLP004", f"the file has more than {MAX_NODES} values. Split the pipeline.")
            raise _Stop
        if len(self.stack) > MAX_DEPTH:
            self.fault(event, "MLP004", f"values are nested more than {MAX_DEPTH} deep here.")
            raise _Stop

    def _path(self, frame: _Frame | None) -> KeyPath:
        if frame is None:
            return ()
        return (*frame.path, len(frame.container) if isinstance(frame.container, list) else frame.key or "")

    def _refuse_extras(self, event: _Event, path: KeyPath) -> None:
        if isinstance(event, yaml.ScalarEvent) and "\0" in event.value:
            self.damaged = True
            self.fault(
                event, "MLP012", "holds a NUL character, which no command, file name or variable can hold.", path
            )
        if isinstance(event, yaml.AliasEvent):
            self.damaged = True
            self.fault(event, "MLP006", f"aliases are not read ('*{event.anchor}'). Write the value out.", path)
        elif event.anchor is not None:
            self.damaged = True
            self.fault(
                event,
                "MLP006",
                f"anchors are not read ('&{event.anchor}'). Write the value out where it is needed.",
                path,
            )
        if getattr(event, "tag", None) is not None:
            self.damaged = True
            self.fault(
                event,
                "MLP007",
                f"tags are not read ('{event.tag}'). Write a plain value, in quotes if it is text.",
                path,
            )

    def _key(self, frame: _Frame, event: _Event) -> None:
        self._refuse_extras(event, frame.path)
        if not isinstance(event, yaml.ScalarEvent) or (event.style in (None, "") and not event.value):
            self.fault(event, "MLP010", "a key must be text.", frame.path)
            raise _Stop
        if event.value == "<<" and event.style in (None, ""):
            self.damaged = True
            self.fault(event, "MLP008", "merge keys ('<<') are not read. Write the keys out.", frame.path)
        frame.key = event.value
        frame.key_at = _position(event)
        first = self.marks.get((*frame.path, event.value))
        frame.skip = first is not None
        if first is not None:
            path = (*frame.path, event.value)
            self.fault(
                event, "MLP009", f"'{event.value}' is written twice; first in line {first.key.line}. Keep one.", path
            )

    def _attach(self, frame: _Frame | None, event: _Event, path: KeyPath, value: Any) -> None:
        at = _position(event)
        text = event.value if isinstance(event, yaml.ScalarEvent) else None
        if frame is not None and frame.skip:
            path = (*path, "(again)")
        mark = Mark((frame.key_at if frame else None) or at, at, text)
        self.marks[path] = mark
        if frame is None:
            self.root = value
        elif isinstance(frame.container, list):
            frame.container.append(value)
        else:
            if not frame.skip:
                frame.container[frame.key or ""] = value
            frame.key, frame.key_at, frame.skip = None, None, False
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self.stack.append(_Frame(value, path))


def _whole(file: str, line: int = 1, column: int = 1) -> Place:
    at = Position(line, column)
    return Place(file, {(): Mark(at, at)})


def _read_text(path: Path, file: str, faults: Faults) -> str | None:
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            faults.add(_whole(file), "MLP001", "this is not a file.")
            return None
        if info.st_size > MAX_BYTES:
            faults.add(_whole(file), "MLP004", f"the file has {info.st_size} bytes; at most {MAX_BYTES} are read.")
            return None
        raw = path.read_bytes()
        faults.looks.at_content(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        faults.add(_whole(file), "MLP001", f"the file cannot be read: {reason}.")
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        place = _whole(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        faults.add(place, "MLP002", f"byte 0x{raw[error.start]:02x} is not UTF-8. Save the file as UTF-8.")
        return None


def _events(text: str) -> Iterator[_Event]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _syntax_fault(error: yaml.YAMLError, text: str, file: str, faults: Faults) -> None:
    at, words = explain(error, text)
    faults.add(_whole(file, at.line, at.column), "MLP003", words)


def read_document(path: Path, file: str, faults: Faults) -> Document | None:
    """Read a YAML file whose top is a mapping.

    :param path: the file.
    :param file: its name in messages.
    :param faults: collects what is wrong.
    :returns: ``None`` if nothing useful can be said beyond the faults noted.
    """
    text = _read_text(path, file, faults)
    if text is None:
        return None
    builder = _Builder(file, faults)
    try:
        for event in _events(text):
            builder.feed(event)
    except _Stop:
        return None
    except yaml.YAMLError as error:
        _syntax_fault(error, text, file, faults)
        return None
    if builder.damaged:
        return None
    if not isinstance(builder.root, dict):
        seen = "is empty" if builder.root is None else "does not hold a mapping of keys"
        faults.add(_whole(file), "MLP011", f"the file {seen}; write 'key: value' lines.")
        return None
    return Document(builder.root, Place(file, builder.marks))
