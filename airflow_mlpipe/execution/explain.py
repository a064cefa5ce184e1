"""Why a step is run: the difference of two identities in words that a person understands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from airflow_mlpipe.content import Manifest
from airflow_mlpipe.content.markers import is_marker
from airflow_mlpipe.errors import DataError, StoreError
from airflow_mlpipe.execution.changed_lines import changed_lines, narrowed, shorten
from airflow_mlpipe.execution.resolve import ResolvedStep
from airflow_mlpipe.fingerprint import Difference, differences
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.workspace import Workspace

_SHOWN = 3
_LISTS = {"pip": "package", "conda": "conda package", "constraints": "constraint on"}
_SOFTWARE = {"python": "Python", "image": "image", "channels": "conda channels"}
_NOUNS = {"parameters": "input", "variables": "environment variable"}


def explain_miss(workspace: Workspace, resolved: ResolvedStep, record: ReuseRecord | None) -> str:
    """Return the reason why a step is run, one sentence without a full stop.

    :param workspace: keeps the earlier sources and manifests, to name the line and the files.
    :param resolved: the step now.
    :param record: the nearest earlier result, ``None`` if the step never ran.
    """
    if record is None:
        return "no earlier result"
    phrases = _Comparison(workspace, resolved, record).phrases()
    if not phrases:
        return f"no stored result (an identical one, of run {record.run_id}, is gone)"
    return "; ".join(phrases)


def input_manifest_port(port: str) -> str:
    """Return the name under which the manifest of an input is kept beside the outputs; no port has a dot."""
    return f"{port}.input"


class _Comparison:
    def __init__(self, workspace: Workspace, resolved: ResolvedStep, record: ReuseRecord) -> None:
        self._workspace = workspace
        self._resolved = resolved
        self._record = record

    def phrases(self) -> list[str]:
        """Return one phrase for each thing that differs; empty if nothing does."""
        by_part: dict[str, list[Difference]] = defaultdict(list)
        for difference in differences(self._record.parts, self._resolved.fingerprint.parts):
            by_part[difference.part].append(difference)
        phrases: list[str] = []
        for part, found in by_part.items():
            if part == "code":
                phrases.append("source changed: " + _listed([self._source(item) for item in found], "file"))
            elif part == "environment":
                phrases.append(_listed([_package(item) for item in found], "package"))
            elif part == "inputs":
                phrases += [self._data(item) for item in found]
            else:
                phrases += [_plain(item) for item in found]
        return list(dict.fromkeys(phrases))

    def _source(self, item: Difference) -> str:
        if item.old is None:
            return f"{item.name} (new)"
        if item.new is None:
            return f"{item.name} (removed)"
        digest = str(item.old).rsplit(" ", 1)[-1]
        old = self._workspace.reuse.code_text(digest) if digest.startswith("blake3:") else None
        new = self._source_now(item.name)
        return item.name if old is None or new is None else f"{item.name} ({changed_lines(old, new)})"

    def _source_now(self, path: str) -> str | None:
        try:
            return self._resolved.code.read(path).decode() if self._resolved.code is not None else None
        except (DataError, UnicodeDecodeError):
            return None

    def _data(self, item: Difference) -> str:
        port, _, field = item.name.partition(".")
        if item.old is None or item.new is None:
            return f"input {port} {'is new' if item.old is None else 'is gone'}"
        if field == "type":
            return f"type of input {port}: {_change(item.old, item.new)}"
        scheme, before = _scheme(item.new), _scheme(item.old)
        if scheme != before:
            return f"identity of input {port}: {before} -> {scheme}"
        if scheme != "content":
            marks = "names, sizes or times of its files" if scheme == "stat" else "version marks of its files"
            return f"input {port}: other {marks}"
        try:
            old = self._workspace.reuse.read_manifest(self._record.attempt, input_manifest_port(port))
            new = self._resolved.data[port].manifest(self._workspace)
        except (DataError, StoreError):
            old = new = None
        files = "" if old is None or new is None else _files(old, new)
        return f"input {port}: {files}" if files else f"input {port} has other contents"


def _scheme(digest: object) -> str:
    text = str(digest)
    return text.partition(":")[0] if is_marker(text) else "content"


def _files(old: Manifest, new: Manifest) -> str:
    """Return which files of a folder differ, empty for a single file."""
    before = {entry.path: entry.digest for entry in old.entries}
    after = {entry.path: entry.digest for entry in new.entries}
    names = [path for path in after if path not in before]
    changed = [path for path in after if path in before and before[path] != after[path]]
    gone = [path for path in before if path not in after]
    found = [(len(paths), word) for paths, word in ((changed, "changed"), (names, "new"), (gone, "gone")) if paths]
    if "file" in (old.kind, new.kind):
        return ""
    if not found:
        return "its empty folders differ"
    total = len(after) if changed or names else len(before)
    (count, word), *rest = found
    counts = [f"{count:,} of {total:,} {'file' if total == 1 else 'files'} {word}", *(f"{n:,} {w}" for n, w in rest)]
    return f"{', '.join(counts)}: {_listed([*changed, *names, *gone], 'file')}"


def _listed(items: Sequence[str], noun: str) -> str:
    more = len(items) - _SHOWN
    shown = list(items[:_SHOWN])
    return ", ".join([*shown, f"{more:,} more {noun}{'' if more == 1 else 's'}"] if more > 0 else shown)


def _package(item: Difference) -> str:
    kind, _, name = item.name.partition(".")
    if kind in _LISTS and name:
        noun = f"{_LISTS[kind]} {name}"
    else:
        noun, name = _SOFTWARE.get(item.name, f"package {item.name}"), ""
    if item.old is None:
        return f"{noun} {_value(_version(item.new, name))} added"
    if item.new is None:
        return f"{noun} {_value(_version(item.old, name))} removed"
    return f"{noun} {_change(_version(item.old, name), _version(item.new, name))}"


def _version(value: object, name: str) -> object:
    """Return ``1.7`` for the line ``scikit-learn==1.7``, and ``>=1.7`` for ``scikit-learn>=1.7``."""
    if not name or not isinstance(value, str) or value[: len(name)].lower().replace("_", "-") != name:
        return value
    return value[len(name) :].strip().removeprefix("==") or "of any version"


def _plain(item: Difference) -> str:
    if item.part == "schema":
        return "the format of identities changed with this version of mlpipe"
    if item.part == "reuse_version":
        return f"reuse_version {_change(item.old, item.new)}"
    if item.part == "outputs":
        return _output(item)
    noun = _NOUNS.get(item.part, "")
    name = f"{noun} {item.name}".strip()
    if item.old is None:
        return f"{name}: {_value(item.new)} (was not set)"
    if item.new is None:
        return f"{name}: no longer set (was {_value(item.old)})"
    return f"{name}: {_change(item.old, item.new)}"


def _output(item: Difference) -> str:
    port, _, field = item.name.partition(".")
    if item.old is None or item.new is None:
        return f"output {port} is {'new' if item.old is None else 'gone'}"
    if field == "optional":
        return f"output {port} {'may stay' if item.new else 'may no longer stay'} empty"
    return f"{field} of output {port}: {_change(item.old, item.new)}"


def _change(old: object, new: object) -> str:
    """Return both values, quoted if they look alike and differ in their type only."""
    if isinstance(old, str) and isinstance(new, str):
        old, new = narrowed(old, new)
    before, after = _value(old), _value(new)
    return f"{old!r} -> {new!r}" if before == after else f"{before} -> {after}"


def _value(value: object) -> str:
    return shorten(value) if isinstance(value, str) and value else shorten(repr(value))
