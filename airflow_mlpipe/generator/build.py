"""DAG files, one pipeline at a time: what is wrong with one is no reason to go without the others."""

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


class Builder:
    """Renders the DAG files of one folder; nothing is written.

    :param folder: where the files will lie, one ``<dag_id>.py`` a pipeline.
    :param environment: of mlpipe.toml, named in the header of the files.
    """

    def __init__(self, folder: Path, renderer: Renderer, environment: str = "") -> None:
        self._folder = folder
        self._renderer = renderer
        self._environment = environment
        self._sources: dict[str, Path] = {}

    def reserve(self, dag_id: str, source: Path) -> None:
        """Note that a pipeline that needs no rendering has this DAG id."""
        self._sources[dag_id] = source

    def build(self, spec: PipelineSpec) -> DagFile:
        """Render the DAG file of a pipeline.

        :raises SpecError: also if another pipeline has the same DAG id, or the file there is not ours.
        :raises ConfigError: if a template is missing or broken.
        """
        dag_id = dag_id_of(spec)
        found = self._name_faults(spec, dag_id)
        if found:
            raise SpecError(tuple(found))
        text = self._renderer.render(plan_dag(spec, self._folder, self._environment))
        self.reserve(dag_id, spec.source)
        return DagFile(self._folder / f"{dag_id}.py", text, spec.source)

    def _name_faults(self, spec: PipelineSpec, dag_id: str) -> list[Fault]:
        if not _FILE_NAME.fullmatch(dag_id):
            rule = "at most 200 ASCII letters, digits, '_', '-' and '.', not beginning with '.' or '-'"
            return [_fault(spec, "MLP151", f"the DAG id {dag_id!r} cannot be the name of a file: use {rule}.")]
        other = self._sources.get(dag_id)
        if other is not None:
            advice = "Give one of them another airflow.dag_id."
            return [_fault(spec, "MLP152", f"{other} has the DAG id {dag_id!r} too. {advice}")]
        return _owner_faults(spec, self._folder / f"{dag_id}.py")


def build(specs: Iterable[PipelineSpec], folder: Path, renderer: Renderer) -> list[DagFile]:
    """Render the DAG files of some pipelines, in the order given.

    :raises SpecError: with every fault of every pipeline.
    :raises ConfigError: if a template is missing or broken.
    """
    builder = Builder(folder, renderer)
    files: list[DagFile] = []
    faults: list[object] = []
    for spec in specs:
        try:
            files.append(builder.build(spec))
        except SpecError as error:  # noqa: PERF203 - each has faults of its own
            faults.extend(error.faults)
    if faults:
        raise SpecError(tuple(faults))
    return files


def _owner_faults(spec: PipelineSpec, path: Path) -> list[Fault]:
    """A file that a person wrote, or that another spec owns, is not replaced."""
    if not path.exists():
        return []
    header = read_header(path)
    if header is None:
        advice = "Move it away, or set another airflow.dag_id."
        return [_fault(spec, "MLP153", f"{path} was not written by 'mlpipe generate'. {advice}")]
    owner = spec_of(path, header)
    if owner == spec.source.resolve() or not owner.exists():
        return []
    advice = "Give one of them another airflow.dag_id."
    return [_fault(spec, "MLP152", f"{path} comes from {owner}, which has the same DAG id. {advice}")]


def _fault(spec: PipelineSpec, code: str, message: str) -> Fault:
    return fault(spec, "airflow.dag_id", code, message)
