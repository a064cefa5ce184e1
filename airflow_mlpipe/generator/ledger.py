"""Remembers, for this user and machine, what each DAG file was made from: what has not changed is not made again.

Only a shortcut. An entry counts while everything that the pipeline was read from, the templates, the environment, this
package and the DAG file itself are as they were; a ledger that is lost, damaged or cannot be written costs time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from airflow_mlpipe import __version__
from airflow_mlpipe.spec.diagnostics import Fault
from airflow_mlpipe.spec.looks import still_so
from airflow_mlpipe.user_cache import remember, user_cache

_PACKAGE = Path(__file__).resolve().parents[1]
_ROOMS = ("spec", "project", "generator")


@dataclass(frozen=True)
class Entry:
    """What is known of the DAG file of a pipeline.

    :param pipeline: its name in its own file.
    :param looks: what the pipeline was read from, see :class:`airflow_mlpipe.spec.looks.Looks`.
    :param text: hash of the DAG file.
    :param warnings: those of the pipeline, shown again each time.
    :param folder: the current folder, in which the file names of the warnings are meant.
    """

    pipeline: str
    dag_id: str
    looks: Mapping[str, str]
    text: str
    warnings: tuple[Fault, ...] = ()
    folder: str = field(default_factory=lambda: str(Path.cwd()))


class Ledger:
    """The entries of one folder of DAG files.

    :param output: that folder.
    :param templates: the user's own templates.
    :param environment: its name.
    :param changes: a text that differs with what the environment changes.
    """

    def __init__(self, output: Path, templates: Path | None, environment: str, changes: str) -> None:
        place = f"{output.resolve()}\n{environment}"
        self._file = user_cache() / "generated" / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json"
        self._output = output
        self._maker = _maker(templates, changes)
        self._entries = self._read()
        self._kept: dict[str, Entry] = {}

    def current(self, source: Path) -> Entry | None:
        """Return the entry of a pipeline file if its DAG file is as it should be, without reading the pipeline."""
        key = str(source.resolve())
        entry = self._entries.get(key)
        if entry is None or (entry.warnings and entry.folder != str(Path.cwd())):
            return None
        if entry.text != _hash_of(self._output / f"{entry.dag_id}.py") or not still_so(entry.looks):
            return None
        self._kept[key] = entry
        return entry

    def note(self, source: Path, entry: Entry) -> None:
        """Note what a DAG file that is in its place was made from."""
        self._kept[str(source.resolve())] = entry

    def save(self) -> None:
        """Keep the entries of this call, and those of pipelines that it did not look at and that still exist."""
        others = {key: entry for key, entry in self._entries.items() if Path(key).exists()}
        plain = {key: asdict(entry) for key, entry in {**others, **self._kept}.items()}
        remember(self._file, json.dumps({"maker": self._maker, "entries": plain}).encode())

    def _read(self) -> dict[str, Entry]:
        try:
            found = json.loads(self._file.read_bytes())
            if found["maker"] != self._maker:
                return {}
            return {key: _entry(value) for key, value in found["entries"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}


def hash_of_text(text: str) -> str:
    """Return what an entry says of a DAG file with this text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _entry(value: Any) -> Entry:
    warnings = tuple(Fault(**fault) for fault in value["warnings"])
    return Entry(**{**value, "looks": dict(value["looks"]), "warnings": warnings})


def _maker(templates: Path | None, changes: str) -> str:
    """Return a hash of everything beside the pipeline that a DAG file depends on."""
    ours = [*(_PACKAGE / "dag_templates").glob("*.j2")]
    for room in _ROOMS:
        ours += (_PACKAGE / room).rglob("*.py")
    parts = [__version__, changes, *_stamps(ours)]
    if templates is not None:
        parts += [f"{path.name} {_hash_of(path)}" for path in sorted(templates.rglob("*.j2"))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _stamps(paths: Iterable[Path]) -> list[str]:
    """Tell files of this package by size and time: whoever works on it makes other DAG files without a new version."""
    stats = [(path, path.stat()) for path in sorted(paths)]
    return [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats]
