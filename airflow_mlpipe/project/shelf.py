"""Pipelines as they were read the last time, for this user and machine: an unchanged file is not read again.

Only a shortcut. What lies here counts while everything that the pipeline was read from and this package are as they
were; what is lost, damaged or cannot be written costs the time of reading the YAML.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from airflow_mlpipe import __version__
from airflow_mlpipe.frozen import Kept, from_json, to_json
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.looks import Looks, still_so
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.user_cache import remember, user_cache

_READERS = Path(__file__).resolve().parents[1] / "spec"


class _Shelved(Kept, frozen=True, kw_only=True):
    """A pipeline that was read.

    :param reader: what read it, see :func:`_reader`.
    :param looks: what it was read from, see :class:`airflow_mlpipe.spec.looks.Looks`.
    """

    reader: str
    looks: Mapping[str, str]
    spec: PipelineSpec


def read_pipeline(path: Path) -> PipelineSpec:
    """Return what :func:`airflow_mlpipe.spec.load_pipeline` returns.

    :raises SpecError: with every fault at once, by file and position.
    """
    place, reader = _place(path), _reader()
    found = _read(place)
    if found is not None and found.reader == reader and still_so(found.looks):
        return found.spec
    looks = Looks()
    spec = load_pipeline(path, looks)
    remember(place, to_json(_Shelved(reader=reader, looks=looks.as_dict(), spec=spec)))
    return spec


def _place(path: Path) -> Path:
    """A file has a place for each way of naming it, because messages repeat the name."""
    name = f"{Path.cwd()}\n{path}"
    return user_cache() / "pipelines" / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.json"


def _read(place: Path) -> _Shelved | None:
    try:
        return from_json(_Shelved, place.read_bytes())
    except (OSError, ValueError):
        return None


def _reader() -> str:
    """Tell the readers by size and time: whoever works on them reads other pipelines without a new version."""
    files = [(entry.name, entry.stat()) for entry in os.scandir(_READERS) if entry.name.endswith(".py")]
    stamps = sorted(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in files)
    return hashlib.sha256("\n".join([__version__, *stamps]).encode()).hexdigest()
