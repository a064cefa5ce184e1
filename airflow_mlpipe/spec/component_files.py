"""A component file and everything that it names, for whoever wants to keep it elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.spec.components import ComponentReader
from airflow_mlpipe.spec.diagnostics import Faults
from airflow_mlpipe.spec.paths import Source
from airflow_mlpipe.spec.reader import read_document
from airflow_mlpipe.spec.software import code_folder, environment, includes


@dataclass(frozen=True)
class ComponentFile:
    """A component that can be kept.

    :param path: the component file.
    :param version: what its author wrote, ``None`` for nothing.
    :param parts: files and folders that it names, with itself first.
    """

    path: Path
    name: str
    version: str | None
    kind: str
    description: str
    parts: tuple[Path, ...]

    @property
    def root(self) -> Path:
        """The nearest folder that holds all parts."""
        return Path(os.path.commonpath([part if part.is_dir() else part.parent for part in self.parts]))


def read_component(path: Path) -> ComponentFile:
    """Read a component file.

    :raises SpecError: with every fault at once.
    """
    faults = Faults()
    document = read_document(path, str(path), faults)
    if document is None:
        raise SpecError(faults.errors)
    place = document.root
    source = Source(place, "", path.parent)
    component = ComponentReader(source, faults).read(f"./{path.name}", place, source)
    if component is None or faults.errors:
        raise SpecError(faults.errors)
    keys = component.keys
    if keys.name is None:
        faults.add(place, "MLP022", "the key 'name' is missing: a registered component has one.", of_key=True)
    if component.kind == "pipeline":
        text = "pipelines cannot be registered yet; name the file of the component, ./region.yml."
        faults.add(place / "type", "MLP026", text)
    parts = [path, *_named(keys, component.source, faults)]
    if faults.errors:
        raise SpecError(faults.errors)
    version = (place / "version").text
    name = keys.name or ""
    return ComponentFile(
        path.resolve(), name, version, component.kind, keys.description or "", tuple(p.resolve() for p in parts)
    )


def _named(keys: Any, source: Source, faults: Faults) -> list[Path]:
    """Return code, additional includes and files of the environment."""
    work, place = keys, source.place
    if getattr(keys, "task", None) is not None:
        work, place = keys.task, source.place / "task"
    code = code_folder(getattr(work, "code", None), place / "code", source, faults)
    software = environment(getattr(work, "environment", None), place / "environment", source, faults)
    more = includes(getattr(keys, "additional_includes", []), source.place / "additional_includes", source, faults)
    files = [value for value in software.values() if isinstance(value, str)] if isinstance(software, dict) else []
    kept = [name for name in files if (source.folder / name).is_file()]
    return [source.folder / path for path in (*([code] if code else []), *more, *kept)]
