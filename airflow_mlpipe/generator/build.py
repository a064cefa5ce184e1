"""All DAG files of a call, or every fault that is in the way."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.generator.drift import DagFile, read_header, spec_of
from airflow_mlpipe.generator.faults import fault
from airflow_mlpipe.generator.plan import plan_dag
from airflow_mlpipe.generator.render import Renderer
from airflow_mlpipe.generator.scheduling import dag_id_of
from airflow_mlpipe.spec.diagnostics import Fault
from airflow_mlpipe.spec.model import PipelineSpec

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}", re.ASCII)


def build(specs: Iterable[PipelineSpec], folder: Path, renderer: Renderer) -> list[DagFile]:
    """Render the DAG files of some pipelines, in the order given; nothing is written.

    :param folder: where the files will lie, one ``<dag_id>.py`` a pipeline.
    :raises SpecError: with every fault of every pipeline, two with one DAG id and files that are not ours included.
    :raises ConfigError: if a template is missing or broken.
    """
    files: dict[str, DagFile] = {}
    faults: list[object] = []
    for spec in specs:
        found = _name_faults(spec, folder, files)
        if not found:
            try:
                path = folder / f"{dag_id_of(spec)}.py"
                files[dag_id_of(spec)] = DagFile(path, renderer.render(plan_dag(spec, folder)), spec.source)
            except SpecError as error:
                found = list(error.faults)
        faults.extend(found)
    if faults:
        raise SpecError(tuple(faults))
    return list(files.values())


def _name_faults(spec: PipelineSpec, folder: Path, files: dict[str, DagFile]) -> list[object]:
    dag_id = dag_id_of(spec)
    if not _FILE_NAME.fullmatch(dag_id):
        rule = "at most 200 ASCII letters, digits, '_', '-' and '.', not beginning with '.' or '-'"
        return [_fault(spec, "MLP151", f"the DAG id {dag_id!r} cannot be the name of a file: use {rule}.")]
    if dag_id in files:
        return [
            _fault(
                spec,
                "MLP152",
                f"{files[dag_id].source} has the DAG id {dag_id!r} too. Give one of them another airflow.dag_id.",
            )
        ]
    return _owner_faults(spec, folder / f"{dag_id}.py")


def _owner_faults(spec: PipelineSpec, path: Path) -> list[object]:
    """A file that a person wrote, or that another spec owns, is not replaced."""
    if not path.exists():
        return []
    header = read_header(path)
    if header is None:
        return [
            _fault(
                spec,
                "MLP153",
                f"{path} was not written by 'mlpipe generate'. Move it away, or set another airflow.dag_id.",
            )
        ]
    owner = spec_of(path, header)
    if owner == spec.source.resolve() or not owner.exists():
        return []
    return [
        _fault(
            spec,
            "MLP152",
            f"{path} comes from {owner}, which has the same DAG id. Give one of them another airflow.dag_id.",
        )
    ]


def _fault(spec: PipelineSpec, code: str, message: str) -> Fault:
    return fault(spec, "airflow.dag_id", code, message)
