"""Reading the forms in which Azure ML CLI v2 writes an environment."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from airflow_mlpipe.environment.definition import EnvironmentDefinition
from airflow_mlpipe.environment.requirements import RequirementLines
from airflow_mlpipe.errors import ConfigError, DataError

_LABELS = frozenset({"$schema", "name", "version", "description", "tags", "os_type"})
"""Keys of Azure ML's environment YAML that name the software but do not change it."""
_FORMS = "{conda_file: ...}, {pip_requirements: ...} or {image: ...}"
_CONDA_SPEC = re.compile(r"(?:[\w.\-/]+::)?(?P<name>[A-Za-z0-9_][\w.\-]*)\s*(?P<version>[=<>!~\s].*)?")
_EXACT_PYTHON = re.compile(r"(?:==?\s*|\s+)?(?P<version>\d+(?:\.\d+)*)(?:\.?\*)?")
_PYTHON_RANGE = re.compile(r"(?:[<>!~]=?|==)\s*\d[\w.]*(?:\s*,\s*(?:[<>!~]=?|==)\s*\d[\w.]*)*")


def load_environment(value: Mapping[str, Any], base: Path) -> EnvironmentDefinition:
    """Read the definition of an environment, in the forms of Azure ML CLI v2.

    ``{"conda_file": path or mapping, "image"?}``, ``{"pip_requirements": path or list, "python"?, "image"?}`` or
    ``{"image": ...}``. ``-r`` and ``-c`` lines are read in. Without an image and without a Python version the minor
    version of the running interpreter is written in, so that it counts.

    :param value: the mapping.
    :param base: folder that relative paths start from.
    :raises ConfigError: if a key or a line is wrong or cannot be honoured.
    :raises DataError: if a file is missing or cannot be read.
    """
    _check_keys(value)
    image = value.get("image")
    if image is not None and (not isinstance(image, str) or not image.strip()):
        raise ConfigError(f"environment: image is {image!r}; write the name of a container image.")
    if "conda_file" in value:
        python, channels, conda, lines = _conda(value["conda_file"], base)
    else:
        python, channels, conda, lines = value.get("python"), (), (), _pip(value.get("pip_requirements", []), base)
        python = _python_version("=" + str(python)) if python is not None else None
    if python is None and image is None:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return EnvironmentDefinition(python, tuple(lines.pip), conda, image, tuple(lines.constraints), channels)


def _check_keys(value: Mapping[str, Any]) -> None:
    if "build" in value:
        raise ConfigError(
            "environment: build is not supported. Build and push the image yourself and name it: {image: ...}."
        )
    unknown = sorted(map(str, set(value) - _LABELS - {"conda_file", "pip_requirements", "image", "python"}))
    if unknown:
        raise ConfigError(f"environment: unknown key {', '.join(map(repr, unknown))}. Write {_FORMS}.")
    if "conda_file" in value and not {"pip_requirements", "python"}.isdisjoint(value):
        raise ConfigError(
            "environment: conda_file stands beside pip_requirements or python. Put them into the conda file."
        )
    if {"conda_file", "pip_requirements", "image"}.isdisjoint(value):
        raise ConfigError(f"environment: nothing to install is named. Write {_FORMS}.")
    if str(value.get("os_type", "linux")).lower() != "linux":
        raise ConfigError(f"environment: os_type is {value['os_type']!r}; only linux can be run.")


def _pip(value: object, base: Path) -> RequirementLines:
    if isinstance(value, list):
        return RequirementLines.of_list(value, base, "pip_requirements")
    if isinstance(value, str) and value.strip():
        return RequirementLines.of_file(base / _path(value, "pip_requirements"), base)
    raise ConfigError(
        f"environment: pip_requirements is {value!r}; write the path of a requirements file, or a list of lines."
    )


def _path(value: str, key: str) -> str:
    if "\0" in value:
        raise ConfigError(f"environment: {key} holds a zero byte; no file has such a name.")
    return value


def _conda(value: object, base: Path) -> tuple[str | None, tuple[str, ...], tuple[str, ...], RequirementLines]:
    document, folder, shown = _conda_document(value, base)
    if "variables" in document:
        raise ConfigError(f"{shown}: variables belong to the step: write them under its environment_variables.")
    unknown = sorted(map(str, set(document) - {"name", "channels", "dependencies", "prefix"}))
    if unknown:
        raise ConfigError(f"{shown}: unknown key {', '.join(map(repr, unknown))}. Known: name, channels, dependencies.")
    channels = _words(document.get("channels"), f"{shown}: channels")
    dependencies = document.get("dependencies")
    if not isinstance(dependencies, list):
        raise ConfigError(
            f"{shown}: dependencies is {dependencies!r}; write a list, such as [python=3.11, pip, {{pip: [pandas]}}]."
        )
    python: str | None = None
    conda: list[str] = []
    pip: list[object] = []
    for item in dependencies:
        if isinstance(item, Mapping) and set(item) == {"pip"} and isinstance(item["pip"], list):
            pip.extend(item["pip"])
            continue
        name, version, spec = _conda_spec(item, shown)
        if name == "python":
            python = _python_version(version)
        elif name != "pip":  # the installer is no part of the step's software, and uv needs none
            conda.append(spec)
    return python, channels, tuple(conda), RequirementLines.of_list(pip, folder, shown)


def _conda_document(value: object, base: Path) -> tuple[Mapping[str, Any], Path, str]:
    if isinstance(value, Mapping):
        return value, base, "conda_file"
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(
            f"environment: conda_file is {value!r}; write the path of a conda YAML file, or its content as a mapping."
        )
    path = base / _path(value, "conda_file")
    try:
        document = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except OSError as error:
        raise DataError(
            f"The conda file {value!r} cannot be read: {error.strerror}. It is looked for at {path}."
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"The conda file {value!r} is not YAML: {error}") from error
    if not isinstance(document, Mapping):
        raise ConfigError(f"The conda file {value!r} holds {type(document).__name__}, not a mapping with dependencies.")
    return document, path.parent, value


def _conda_spec(item: object, shown: str) -> tuple[str, str, str]:
    match = _CONDA_SPEC.fullmatch(item.strip()) if isinstance(item, str) else None
    if match is None:
        raise ConfigError(
            f"{shown}: the dependency {item!r} is not understood. Write name=version, or {{pip: [lines]}}."
        )
    return match["name"].lower(), match["version"] or "", " ".join(match.group().split())


def _python_version(version: str) -> str | None:
    if not version.strip():
        return None
    if exact := _EXACT_PYTHON.fullmatch(version.rstrip()):
        return exact["version"]
    if _PYTHON_RANGE.fullmatch(version.strip()):
        return "".join(version.split())
    raise ConfigError(
        f"environment: the Python version {version.strip().removeprefix('=')!r} is not understood. "
        "Write python=3.11 or python>=3.10,<3.13."
    )


def _words(value: object, shown: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{shown} is {value!r}; write a list of names.")
    return tuple(value)
