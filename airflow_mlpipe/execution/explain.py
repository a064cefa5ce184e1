"""Why a step is run: the difference of two identities in words that a person understands."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from airflow_mlpipe.errors import DataError
from airflow_mlpipe.fingerprint import Difference, differences
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.reuse.store import ReuseStore
from airflow_mlpipe.snapshot import Snapshot

_SHOWN = 3
_MAX_LINE = 60


def explain_difference(
    old: Mapping[str, Any], new: Mapping[str, Any], store: ReuseStore, code: Snapshot | None
) -> list[str]:
    """Return one phrase for each thing that differs between two identities; empty if they are equal.

    :param old: parts of the earlier fingerprint.
    :param new: parts of the one now.
    :param store: keeps the earlier source texts, to quote the changed line.
    :param code: the source now.
    """
    by_part: dict[str, list[Difference]] = defaultdict(list)
    for difference in differences(old, new):
        by_part[difference.part].append(difference)
    phrases: list[str] = []
    for part, found in by_part.items():
        if part == "code":
            phrases += _source(found, store, code)
        elif part == "environment":
            phrases += _limited([_package(item) for item in found], "packages")
        else:
            phrases += [_plain(item) for item in found]
    return list(dict.fromkeys(phrases))


def explain_miss(record: ReuseRecord | None, parts: Mapping[str, Any], store: ReuseStore, code: Snapshot | None) -> str:
    """Return the reason why a step is run, one sentence without a full stop.

    :param record: the nearest earlier result, ``None`` if the step never ran.
    :param parts: parts of the fingerprint now.
    :param store: keeps the earlier source texts.
    :param code: the source now.
    """
    if record is None:
        return "no earlier result"
    phrases = explain_difference(record.parts, parts, store, code)
    if not phrases:
        return f"no stored result (an identical one, of run {record.run_id}, is gone)"
    return "; ".join(phrases)


def _source(found: Sequence[Difference], store: ReuseStore, code: Snapshot | None) -> list[str]:
    texts = []
    for item in found[:_SHOWN]:
        if item.old is None:
            texts.append(f"{item.name} (new)")
        elif item.new is None:
            texts.append(f"{item.name} (removed)")
        else:
            texts.append(item.name + _changed_lines(_then(item.old, store), _now(item.name, code)))
    if len(found) > _SHOWN:
        texts.append(f"{len(found) - _SHOWN} more files")
    return ["source changed: " + ", ".join(texts)]


def _then(identity: object, store: ReuseStore) -> str | None:
    digest = str(identity).rsplit(" ", 1)[-1]
    return store.code_text(digest) if digest.startswith("blake3:") else None


def _now(path: str, code: Snapshot | None) -> str | None:
    try:
        return code.read(path).decode() if code is not None else None
    except (DataError, UnicodeDecodeError):
        return None


def _changed_lines(old: str | None, new: str | None) -> str:
    if old is None or new is None:
        return ""
    before, after = old.splitlines(), new.splitlines()
    blocks = [
        code
        for code in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if code[0] != "equal"
    ]
    if not blocks:
        return " (line ends or mode)"
    _, a0, a1, b0, b1 = blocks[0]
    more = f", {len(blocks) - 1} more places" if len(blocks) > 1 else ""
    if a1 - a0 == 1 and b1 - b0 == 1:
        old_line, new_line = _narrowed(before[a0], after[b0])
        return f" (line {b0 + 1}: {_shorten(old_line)} -> {_shorten(new_line)}{more})"
    if a0 == a1:
        return f" (line {b0 + 1}: added {_shorten(after[b0])}{more})"
    if b0 == b1:
        return f" (line {b0 + 1}: removed {_shorten(before[a0])}{more})"
    return f" (lines {b0 + 1}-{b1}{more})"


def _narrowed(old: str, new: str) -> tuple[str, str]:
    """Drop the words that two long lines begin with alike, so that what differs is seen."""
    if max(len(old.strip()), len(new.strip())) <= _MAX_LINE:
        return old, new
    before, after = old.split(), new.split()
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    lead = ["..."] if same else []
    return " ".join(lead + before[same:]), " ".join(lead + after[same:])


def _shorten(line: str) -> str:
    line = line.strip()
    return line if len(line) <= _MAX_LINE else line[: _MAX_LINE - 3] + "..."


def _package(item: Difference) -> str:
    if item.old is None:
        return f"package {item.name} {_value(item.new)} added"
    if item.new is None:
        return f"package {item.name} {_value(item.old)} removed"
    return f"package {item.name} {_value(item.old)} -> {_value(item.new)}"


def _limited(phrases: list[str], noun: str) -> list[str]:
    if len(phrases) <= _SHOWN:
        return phrases
    return [*phrases[:_SHOWN], f"{len(phrases) - _SHOWN} more {noun}"]


_NOUNS = {"inputs": "input", "parameters": "input", "variables": "environment variable", "outputs": "output"}


def _plain(item: Difference) -> str:
    if item.part == "inputs":
        return _data(item)
    if item.part == "schema":
        return "the format of identities changed with this version of mlpipe"
    if item.part == "reuse_version":
        return f"reuse_version {_value(item.old)} -> {_value(item.new)}"
    noun = _NOUNS.get(item.part, "")
    name = f"{noun} {item.name}".strip()
    if item.old is None:
        return f"{name}: {_value(item.new)} (was not set)"
    if item.new is None:
        return f"{name}: no longer set (was {_value(item.old)})"
    return f"{name}: {_value(item.old)} -> {_value(item.new)}"


def _data(item: Difference) -> str:
    port, _, field = item.name.partition(".")
    if item.old is None or item.new is None:
        return f"input {port} {'is new' if item.old is None else 'is gone'}"
    if field == "type":
        return f"type of input {port}: {_value(item.old)} -> {_value(item.new)}"
    return f"input {port} has other contents"


def _value(value: object) -> str:
    return _shorten(value if isinstance(value, str) else repr(value))
