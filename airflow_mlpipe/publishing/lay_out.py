"""A published version in a DAG folder: its source as it was, and the DAG file that runs it.

dags/churn__v3.py                       generated
dags/published/.airflowignore           Airflow reads no file below for DAGs
dags/published/churn__v3/pipeline.yml   the source, from the store and checked against the record
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from airflow_mlpipe.errors import ConfigError, DataError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.generator.drift import DagFile, read_header
from airflow_mlpipe.generator.plan import plan_dag
from airflow_mlpipe.generator.render import Renderer
from airflow_mlpipe.generator.write import is_current, write_file
from airflow_mlpipe.publishing.base import PublishedPipeline
from airflow_mlpipe.publishing.store import PublishedStore
from airflow_mlpipe.snapshot import take_snapshot
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.model import PipelineSpec

FOLDER = "published"
_IGNORE = "*\n"


def lay_out(store: PublishedStore, record: PublishedPipeline, dags: Path, renderer: Renderer) -> DagFile:
    """Put the source of a version into a DAG folder, unless it is there, and return its DAG file, not yet written.

    :param dags: the DAG folder.
    :raises ConfigError: if a file that is not ours has the DAG's name.
    :raises DataError: if the source in the store is not what was published.
    """
    path = dags / f"{record.dag_id}.py"
    if path.exists() and read_header(path) is None:
        raise ConfigError(f"{path} was not written by mlpipe. Move it away, or publish under another name.")
    if not is_current(dags / FOLDER / ".airflowignore", _IGNORE):
        write_file(dags / FOLDER / ".airflowignore", _IGNORE)
    folder = dags / FOLDER / record.dag_id
    if not folder.is_dir() or take_snapshot(folder).digest != record.code:
        _restore(store, record, folder)
    plan = plan_dag(_unscheduled(load_pipeline(folder / record.source), record), dags)
    command = f"mlpipe publish --again {record.name}:{record.version} -o ."
    return DagFile(path, renderer.render(replace(plan, command=command)), folder / record.source)


def _unscheduled(spec: PipelineSpec, record: PublishedPipeline) -> PipelineSpec:
    """A version runs when it is called; a schedule of each would run them all side by side."""
    block = {"dag_id": record.dag_id, "schedule": None, "start_date": None, "end_date": None, "catchup": False}
    return replaced(spec, airflow=replaced(spec.airflow, **block), description=record.description)


def _restore(store: PublishedStore, record: PublishedPipeline, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{record.dag_id}.", dir=folder.parent) as scratch:
        fresh = Path(scratch) / "code"
        store.fetch_code(record.code, fresh)
        for path, what in record.files.items():
            if what.startswith("-> "):
                (fresh / path).parent.mkdir(parents=True, exist_ok=True)
                (fresh / path).symlink_to(what.removeprefix("-> "))
            elif what.startswith("x "):
                (fresh / path).chmod((fresh / path).stat().st_mode | 0o111)
        if take_snapshot(fresh).digest != record.code:
            raise DataError(
                f"The source of {record.name}:{record.version} in the store is not what was published. Publish the "
                "pipeline as another version, or restore the store from a backup."
            )
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
