"""Functions by name, called by the real worker and the real DAG processor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow


def test_a_failed_step_and_a_failed_run_are_told(airflow: Any) -> None:
    alarms = Path(airflow.project.folder) / "alarms"
    assert airflow.run("alerting", "first") == "failed"
    limit = time.monotonic() + 120
    while len(list(alarms.iterdir())) < 2 and time.monotonic() < limit:
        time.sleep(0.5)
    assert sorted(path.name for path in alarms.iterdir()) == ["run_failed first", "task_failed first"]
