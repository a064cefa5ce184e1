"""Which system a file is of, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.importers.azureml_v1 import V1Reader, is_azureml_v1
from airflow_mlpipe.importers.dag_factory import DagFactoryReader, is_dag_factory
from airflow_mlpipe.importers.section import Section
from airflow_mlpipe.spec.diagnostics import Fault, Faults
from airflow_mlpipe.spec.reader import read_document


@dataclass(frozen=True)
class Imported:
    """What a file became.

    :param texts: pipeline name to the text of its file.
    :param remarks: everything that was not carried over, or became something else, by place.
    """

    system: str
    texts: dict[str, str]
    remarks: tuple[Fault, ...]


def import_file(source: Path) -> Imported:
    """Read a file of another system; nothing is written, and nothing in it is run or imported.

    :raises SpecError: if it cannot be read, or is of no known system.
    """
    faults = Faults()
    document = read_document(source, str(source), faults)
    if document is None:
        raise SpecError(faults.errors)
    top = Section(document.data, document.root, faults)
    if is_azureml_v1(document.data):
        system, pipelines = "Azure ML SDK v1", V1Reader(top, source.stem).pipelines()
    elif is_dag_factory(document.data):
        system, pipelines = "dag-factory", DagFactoryReader(top).pipelines()
    else:
        known = "'pipeline: {steps: ...}' of the Azure ML SDK v1, or DAGs with 'tasks' of dag-factory"
        faults.add(document.root, "MLP403", f"this is neither: {known}.")
        raise SpecError(faults.errors)
    texts = {name: _text(pipeline, source.name) for name, pipeline in pipelines.items()}
    return Imported(system, texts, faults.remarks)


def _text(pipeline: dict[str, Any], source: str) -> str:
    body = yaml.dump(pipeline, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return f"# Imported from {source.encode('unicode_escape').decode()}; read what 'mlpipe import' reported.\n{body}"


class _Dumper(yaml.SafeDumper):
    """Writes the same mapping twice rather than as an alias, which our files do not have."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the interface of PyYAML
        return True
