"""From a pipeline file to a version that never changes."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from airflow_mlpipe.errors import ConfigError, SpecError
from airflow_mlpipe.generator.identity import spec_hash
from airflow_mlpipe.publishing.base import PublishedPipeline
from airflow_mlpipe.publishing.names import checked_name, checked_version, dag_id_of
from airflow_mlpipe.publishing.store import PublishedStore
from airflow_mlpipe.snapshot import Snapshot, take_snapshot
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.step import InputData


@dataclass(frozen=True)
class Publication:
    """What is to be published.

    :param file: the pipeline file.
    :param root: the source, a folder that holds the file and all that it names; ``None`` for the file's own folder.
    :param name: ``None`` for the pipeline's own.
    :param version: ``None`` for the next number.
    """

    file: Path
    root: Path | None = None
    name: str | None = None
    version: str | None = None
    description: str = ""


def publish(store: PublishedStore, wanted: Publication) -> tuple[PublishedPipeline, bool]:
    """Keep a pipeline with its source as a new version, unless a version has this very content: then return that one.

    :returns: the version, and whether it is new.
    :raises SpecError: if the pipeline is wrong.
    :raises ConfigError: if it names files outside of its source, or the version is taken by other content.
    :raises DataError: if the source cannot be read, or is too large.
    """
    spec = load_pipeline(wanted.file)
    name = checked_name("pipeline", wanted.name or spec.name)
    root = (wanted.root or spec.folder).resolve()
    source = _inside(spec, root)
    snapshot = take_snapshot(root)
    if source not in snapshot.identity():
        raise ConfigError(f"{source} is left out of the source {root} by its .amlignore or .gitignore. Let it in.")
    for version in store.versions(name):
        there = store.get(name, version)
        if (there.code, there.source) == (snapshot.digest, source):
            return there, False
    _keep(store, snapshot, spec, source)
    for version in [checked_version(wanted.version)] if wanted.version else _next(store, name):
        record = PublishedPipeline(
            name=name,
            version=version,
            description=wanted.description or spec.description,
            dag_id=dag_id_of(name, version),
            source=source,
            code=snapshot.digest,
            files=snapshot.identity(),
            spec_hash=spec_hash(spec),
            nonce=secrets.token_hex(16),
            created=datetime.now(timezone.utc),
        )
        if store.create(record):
            return record, True
    raise ConfigError(
        f"{name}:{wanted.version} is published with other content. A version never changes: leave --version out for "
        f"the next number, or name another one."
    )


def _next(store: PublishedStore, name: str) -> Iterator[str]:
    """Yield the numbers after the highest one; each is tried once, somebody else may be quicker."""
    number = max((int(version) for version in store.versions(name) if version.isdecimal()), default=0)
    while True:
        number += 1
        yield str(number)


def _inside(spec: PipelineSpec, root: Path) -> str:
    file = spec.source.resolve()
    if not file.is_relative_to(root):
        raise ConfigError(f"--root {root} does not hold the pipeline {file}. Name a folder above it.")
    return file.relative_to(root).as_posix()


def _keep(store: PublishedStore, snapshot: Snapshot, spec: PipelineSpec, source: str) -> None:
    """Copy the source aside, make sure that the pipeline is whole in it, and keep it."""
    with tempfile.TemporaryDirectory(prefix="mlpipe-publish-") as scratch:
        copy = Path(scratch) / secrets.token_hex(8)  # no '../name' of the pipeline leads here
        snapshot.copy_to(copy)
        _check_whole(copy / source, spec)
        for path, what in snapshot.identity().items():
            if what.startswith("-> "):
                (copy / path).unlink()
        store.keep_code(snapshot.digest, copy)


def _check_whole(copy: Path, spec: PipelineSpec) -> None:
    """Refuse a pipeline that needs more than the copy of its source."""
    advice = "A published version holds one folder: name one that holds everything with --root, and see its .amlignore."
    try:
        found = load_pipeline(copy)
    except SpecError as error:
        raise ConfigError(f"Not all that the pipeline names lies in its source. {advice}\n{error}") from None
    if spec_hash(found) != spec_hash(spec):
        raise ConfigError(f"The pipeline reads differently in a copy of its source. {advice}")
    missing = [f"{where}: {path}" for where, path in _local_data(spec) if not (copy.parent / path).exists()]
    if missing:
        raise ConfigError(
            f"Local data is not in the source: {'; '.join(missing)}. {advice} Better, read it from a datastore."
        )


def _local_data(spec: PipelineSpec) -> Iterator[tuple[str, str]]:
    for step in spec.steps:
        for port, value in step.inputs.items():
            if isinstance(value, InputData) and not (":" in value.path or value.path.startswith("${{")):
                yield f"jobs.{step.name}.inputs.{port}", value.path
