"""Garbage collection as a task, and the maintenance DAG."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_mlpipe.operators import GarbageCollectionOperator
from airflow_mlpipe.workspace import load_workspace

pytestmark = pytest.mark.airflow
DAGS = Path(__file__).resolve().parents[2] / "example_dags" / "maintenance"


@pytest.fixture
def dead(project: Any) -> Path:
    """A passing copy of a job that died long ago."""
    workspace = load_workspace(project.folder / "dags" / "workspace.yml")
    folder: Path = workspace.scratch / ("mlp-" + "0" * 48)
    folder.mkdir()
    (folder / "x").write_bytes(b"123")
    for path in (folder / "x", folder):
        os.utime(path, (0, 0))
    return folder


def test_it_looks_and_deletes_when_told(project: Any, dead: Path, task_log: Callable[[], str]) -> None:
    with project.dag():
        look = GarbageCollectionOperator(task_id="look")
        collect = GarbageCollectionOperator(task_id="collect", dry_run=False)
    assert look.execute(project.context(look)) == {"dry_run": True, "bytes": 3, "items": 1, "problems": 0}
    assert dead.exists()
    assert "nothing was changed (dry run)" in task_log()
    assert collect.execute(project.context(collect, params={"dry_run": True}))["dry_run"] is True
    assert dead.exists()
    assert collect.execute(project.context(collect)) == {"dry_run": False, "bytes": 3, "items": 1, "problems": 0}
    assert not dead.exists()
    assert "freed 3 bytes" in task_log()


def test_a_wrong_age_fails_for_good(project: Any) -> None:
    with project.dag():
        task = GarbageCollectionOperator(task_id="collect", older_than="soon")
    with pytest.raises(AirflowFailException, match="older_than is 'soon'"):
        task.execute(project.context(task))


def test_the_maintenance_dag_loads_and_runs(project: Any, dead: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    text = (DAGS / "mlpipe_maintenance.py").read_text()
    (project.folder / "dags" / "mlpipe_maintenance.py").write_text(text)
    bag = DagBag(str(project.folder / "dags"))
    assert bag.import_errors == {}
    dag = bag.dags["mlpipe_maintenance"]
    assert dag.max_active_runs == 1
    task = dag.task_dict["collect"]
    assert task.execute(project.context(task))["dry_run"] is True
    assert dead.exists()
    assert task.execute(project.context(task, params={"dry_run": False}))["bytes"] == 3
    assert not dead.exists()
