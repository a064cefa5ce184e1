"""What ``mlpipe init`` writes, through the real scheduler, untouched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.cli.init import TEMPLATES
from airflow_mlpipe.cli.main import main

pytestmark = pytest.mark.airflow

SHOPS = ("harbour", "hill", "market", "valley")
REGISTERED = {
    "model": {"retraining", "champion_challenger", *(f"many_models-{shop}" for shop in SHOPS)},
    "dataset": {"general-summary", "data_ingestion"},
}
PREFIX = "template_"


def switch(airflow: Any, paused: bool) -> None:
    """Pause or unpause the DAGs in one call: SQLite bears no second writer while tasks run."""
    airflow.api.call("PATCH", "/dags", {"is_paused": paused}, {"dag_id_pattern": PREFIX, "exclude_stale": False})


@pytest.mark.timeout(1200)
def test_the_dag_of_every_template_succeeds(airflow: Any, wait_until: Callable[..., Any]) -> None:
    """All at the same time, as each waits most of its time. What has a schedule starts by itself."""
    folder = Path(airflow.project.folder)
    dags = [f"{PREFIX}{template}" for template in TEMPLATES]
    for template, dag in zip(TEMPLATES, dags, strict=True):
        assert main(["init", "--template", template, str(folder / "templates" / dag)]) == 0
    assert main(["generate", str(folder / "templates"), "-o", str(folder / "dags" / "templates")]) == 0
    for dag in dags:
        airflow.api.wait_dag(dag)
    airflow.api.trigger(f"{PREFIX}general")
    switch(airflow, paused=False)
    runs = {dag: wait_until(lambda dag=dag: airflow.api.runs(dag), 120)[0]["dag_run_id"] for dag in dags}
    ended = {dag: airflow.api.wait_run(dag, run_id, 600) for dag, run_id in runs.items()}
    switch(airflow, paused=True)
    states = {dag: airflow.api.task_states(dag, run_id) for dag, run_id in runs.items()}
    assert ended == dict.fromkeys(dags, "success"), states
    assert {state for tasks in states.values() for state in tasks.values()} == {"success"}, states
    registry = airflow.workspace.registry
    for kind, names in REGISTERED.items():
        assert {f"{PREFIX}{name}" for name in names} <= set(registry.names(kind))
