"""A pipeline that starts when data has changed: the real scheduler, DAG processor and triggerer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.airflow_real.test_airflow_assets import runs, wait_for_runs

pytestmark = pytest.mark.airflow


def names(airflow: Any, run: dict[str, Any]) -> list[str]:
    """Return the files that a run saw."""
    lines = (airflow.place("changed", run["dag_run_id"], "count") / "names").read_text().splitlines()
    return [Path(line).name for line in lines]


def test_each_batch_starts_one_run_and_a_manual_run_waits_for_none(airflow: Any) -> None:
    """One story, because each part needs the one before."""
    arrivals = Path(airflow.project.folder) / "landing" / "arrivals"
    assert runs(airflow, "changed") == []

    (arrivals / "2013" / "01").mkdir(parents=True)
    for day in range(1, 6):
        (arrivals / "2013" / "01" / f"day-{day}.csv").write_text(str(day))
    [first] = wait_for_runs(airflow, "changed", 1, 240)
    assert (first["state"], first["run_type"]) == ("success", "asset_triggered")
    assert names(airflow, first) == [f"day-{day}.csv" for day in range(1, 6)]

    assert airflow.run("changed", "by-hand") == "success"
    assert airflow.api.task_states("changed", "by-hand") == {"plan": "success", "count": "skipped"}

    (arrivals / "2013" / "02").mkdir()
    (arrivals / "2013" / "02" / "day-1.csv").write_text("1")
    found = wait_for_runs(airflow, "changed", 3, 240)
    [second] = [run for run in found if run["dag_run_id"] not in ("by-hand", first["dag_run_id"])]
    assert (second["state"], second["run_type"]) == ("success", "asset_triggered")
    assert len(names(airflow, second)) == 6
