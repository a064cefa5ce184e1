"""Data transfer: verified copies from any datastore into the workspace's own, done by the worker itself."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from airflow_mlpipe.content import Manifest
from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.errors import DataError, SpecError
from airflow_mlpipe.execution.choice import amount
from airflow_mlpipe.execution.inputs import ResolvedInput
from airflow_mlpipe.execution.job import OutputPlace, output_places
from airflow_mlpipe.execution.resolve import ResolvedStep
from airflow_mlpipe.execution.run_info import Say
from airflow_mlpipe.tracking.base import JobRecord
from airflow_mlpipe.workspace import Workspace


def transfer(workspace: Workspace, resolved: ResolvedStep, job: JobRecord, say: Say) -> float:
    """Copy the inputs of a ``data_transfer`` step to its outputs.

    With one output all inputs are merged into it, in the order of their declaration; with several, each input goes
    to the output of the same name (Azure ML: ``task: copy_data``, ``data_copy_mode``).

    :returns: seconds it took.
    :raises DataError: if an input changed while it was copied, or two hold the same file under ``fail_if_conflict``.
    """
    started = time.monotonic()
    places = output_places(workspace, resolved.step, job)
    for port, sources in _pairs(resolved, places).items():
        place = places[port]
        for source_port, item in sources:
            _copy(workspace, resolved, place, source_port, item)
            say(f"copied {source_port}: {amount(item.content.files, item.content.size)} from {item.origin}")
    return time.monotonic() - started


def _pairs(resolved: ResolvedStep, places: dict[str, OutputPlace]) -> dict[str, list[tuple[str, ResolvedInput]]]:
    items = list(resolved.data.items())
    if len(places) == 1:
        return {next(iter(places)): items}
    unmatched = sorted(places.keys() ^ set(resolved.data))
    if unmatched:
        raise SpecError(
            (
                f"step {resolved.step.name}: a data transfer with several outputs copies each input to the output "
                f"of the same name; without a partner: {', '.join(unmatched)}.",
            )
        )
    return {port: [(port, item)] for port, item in items}


def _copy(workspace: Workspace, resolved: ResolvedStep, place: OutputPlace, port: str, item: ResolvedInput) -> None:
    staged = place.local.with_name(f".{place.local.name}.{port}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    staged.parent.mkdir(parents=True, exist_ok=True)
    if not item.is_copied_by(_fetch(workspace, item, staged), workspace):
        shutil.rmtree(staged, ignore_errors=True)
        raise DataError(
            f"input {port}: the data at {item.origin} changed while it was copied. Retry when it is at rest."
        )
    if not place.local.exists():
        staged.rename(place.local)
        return
    _merge(staged, place.local, port, resolved.step.copy_mode == "fail_if_conflict")


def _fetch(workspace: Workspace, item: ResolvedInput, to: Path) -> Manifest:
    if item.datastore is not None:
        return workspace.datastore(item.datastore).download(item.path, to, item.include)
    if item.include is not None:
        raise DataError(
            f"'partitions' need data in a datastore (azureml://datastores/...), not the local path {item.path}."
        )
    source = Path(item.path)
    if source.is_dir():
        shutil.copytree(source, to)
    else:
        shutil.copyfile(source, to)
    manifest = scan(to)
    if manifest is None:
        raise DataError(f"There is no data at {item.path}.")
    return manifest


def _merge(source: Path, into: Path, port: str, refuse: bool) -> None:
    if source.is_file() or into.is_file():
        raise DataError(
            f"input {port}: a single file cannot be merged with other inputs. Use folders, or one output per input."
        )
    files = sorted(path.relative_to(source) for path in source.rglob("*") if not path.is_dir())
    conflicts = [str(name) for name in files if (into / name).exists()]
    if refuse and conflicts:
        raise DataError(
            f"input {port}: {len(conflicts)} files are there already ({', '.join(conflicts[:3])}) and "
            "data_copy_mode is fail_if_conflict. "
            "Use merge_with_overwrite to let the later input win."
        )
    for name in files:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).replace(into / name)
    shutil.rmtree(source)
