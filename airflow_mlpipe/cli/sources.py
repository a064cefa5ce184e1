"""Finds pipeline files and reads them, for the commands that take many."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_mlpipe.errors import ConfigError, SpecError
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.diagnostics import Fault
from airflow_mlpipe.spec.model import PipelineSpec

_SUFFIXES = (".yml", ".yaml")
_IS_PIPELINE = re.compile(r"^type\s*:\s*['\"]?pipeline['\"]?\s*(#.*)?$", re.MULTILINE)
_IS_SCHEDULE = re.compile(r"^create_job\s*:", re.MULTILINE)
_IS_COMPONENT = re.compile(r"^['\"]?\$schema['\"]?\s*:.*pipelineComponent", re.MULTILINE)


@dataclass(frozen=True)
class Loaded:
    """What reading many files gave.

    :param faults: errors of the files that are not in ``specs``, and the warnings of those that are.
    """

    specs: tuple[PipelineSpec, ...]
    faults: tuple[Fault, ...]

    @property
    def errors(self) -> tuple[Fault, ...]:
        """The faults that forbid going on."""
        return tuple(fault for fault in self.faults if fault.level == "error")


def find_pipelines(paths: Iterable[Path]) -> list[Path]:
    """Return the pipeline files that are named or lie in the folders that are named, each once, folders sorted.

    In a folder, YAML files with ``type: pipeline`` at the top level count, and schedule files, with ``create_job``;
    hidden files and folders do not.

    :raises ConfigError: if a path is not there, or a folder holds no pipeline.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = list(_walk(path))
            if not inside:
                raise ConfigError(
                    f"{path}: no pipeline is in this folder. Looked for *.yml and *.yaml with 'type: pipeline' in it."
                )
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise ConfigError(
                f"{path}: there is no such file or folder. Name pipeline files, or folders that hold some."
            )
    return list(found)


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in _SUFFIXES and not hidden and path.is_file() and _is_pipeline(path):
            yield path


def _is_pipeline(path: Path) -> bool:
    """Looked at line by line: a file that is broken elsewhere still is a pipeline, and its faults are to be shown."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return bool(_IS_SCHEDULE.search(text) or _IS_PIPELINE.search(text)) and not _IS_COMPONENT.search(text)


def load_pipelines(paths: Sequence[Path]) -> Loaded:
    """Read every file; one that is wrong does not hide the faults of the next."""
    specs: list[PipelineSpec] = []
    faults: list[Fault] = []
    for path in paths:
        read = _load(path)
        if isinstance(read, PipelineSpec):
            specs.append(read)
            faults.extend(read.warnings)
        else:
            faults.extend(fault for fault in read.faults if isinstance(fault, Fault))
    return Loaded(tuple(specs), tuple(faults))


def _load(path: Path) -> PipelineSpec | SpecError:
    try:
        return load_pipeline(path)
    except SpecError as error:
        return error


def counted(number: int, noun: str) -> str:
    """Return ``1 error``, ``2 errors``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
