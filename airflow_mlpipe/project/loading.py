"""From ``mlpipe.toml`` to a :class:`Project`, or to every fault in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_mlpipe.errors import ConfigError, SpecError
from airflow_mlpipe.project.documents import EnvironmentKeys, ProjectKeys
from airflow_mlpipe.project.overlay import Overlay, read_overlay
from airflow_mlpipe.project.place import locate
from airflow_mlpipe.project.toml_places import read_toml
from airflow_mlpipe.spec.diagnostics import Faults, Place, did_you_mean
from airflow_mlpipe.spec.structure import validate

_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Environment:
    """One environment; paths as those of :class:`Project`."""

    overlay: Overlay
    output: Path | None = None
    workspace: Path | None = None


@dataclass(frozen=True)
class Project:
    """A repository of pipelines; its paths are relative to the current folder of the process.

    :param file: the ``mlpipe.toml``.
    :param paths: pipeline files and folders that hold some.
    :param output: folder of the DAG files.
    :param templates: folder of the user's own DAG templates.
    """

    file: Path
    paths: tuple[Path, ...]
    output: Path | None
    templates: Path | None
    workspace: Path | None
    environments: Mapping[str, Environment]

    def environment(self, name: str) -> Environment:
        """Return an environment by its name.

        :raises ConfigError: if there is none of this name.
        """
        if name in self.environments:
            return self.environments[name]
        known = ", ".join(sorted(self.environments)) or "none"
        hint = did_you_mean(name, self.environments)
        raise ConfigError(f"{self.file} has no environment '{name}'; it has: {known}.{hint}")


def find_project(start: Path) -> Project | None:
    """Return the project of the nearest ``mlpipe.toml`` in a folder or above it, ``None`` if there is none.

    :raises SpecError: with every fault of the file.
    """
    file = locate(start)
    return None if file is None else load_project(file)


def load_project(file: Path) -> Project:
    """Read an ``mlpipe.toml``.

    :raises SpecError: with every fault at once.
    """
    faults = Faults()
    read = read_toml(file, str(file), faults)
    keys = validate(ProjectKeys, *read, faults) if read else None
    project = _Reader(file, read[1], faults).project(keys) if read and keys else None
    if project is None or faults.errors:
        raise SpecError(faults.errors)
    return project


@dataclass(frozen=True)
class _Reader:
    file: Path
    place: Place
    faults: Faults

    def project(self, keys: ProjectKeys) -> Project:
        place = self.place
        paths = [self._path(path, place / "paths" / number, "there") for number, path in enumerate(keys.paths)]
        return Project(
            file=self.file,
            paths=tuple(path for path in paths if path is not None),
            output=self._path(keys.output, place / "output"),
            templates=self._path(keys.templates, place / "templates", "folder"),
            workspace=self._path(keys.workspace, place / "workspace", "file"),
            environments={
                name: self._environment(name, value, place / "environments" / name)
                for name, value in keys.environments.items()
            },
        )

    def _environment(self, name: str, keys: EnvironmentKeys, place: Place) -> Environment:
        if not _ENVIRONMENT.fullmatch(name):
            rule = "at most 64 ASCII letters, digits, '_', '-', '.', first a letter or digit"
            self.faults.add(place, "MLP030", f"'{name}' cannot be the name of an environment: {rule}.", of_key=True)
        return Environment(
            overlay=read_overlay(name, keys, place, self.faults),
            output=self._path(keys.output, place / "output"),
            workspace=self._path(keys.workspace, place / "workspace", "file"),
        )

    def _path(self, text: str | None, place: Place, needed: str = "") -> Path | None:
        """Return a path relative to the current folder.

        :param needed: what must be there: ``folder``, ``file``, ``there`` (either), or nothing.
        """
        if text is None:
            return None
        if "\0" in text or text.startswith("~"):
            self.faults.add(place, "MLP124", f"{text!r} must be a path relative to the folder of this file.")
            return None
        path = Path(os.path.relpath(self.file.parent / text))
        checks = {"folder": path.is_dir, "file": path.is_file, "there": path.exists}
        if needed in checks and not checks[needed]():
            what = {"there": "file or folder"}.get(needed, needed)
            self.faults.add(place, "MLP120", f"there is no {what} '{text}'; looked for '{path}'.")
        return path
