"""A generated DAG that does not change is one DAG version, however often and wherever it is parsed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlpipe.cli.main import main
from tests.conftest import ROOT

pytestmark = pytest.mark.airflow

PROGRAM = Path(__file__).with_name("parses.py")
FLIGHTS = ROOT / "tests" / "generator" / "pipelines" / "flights" / "pipeline.yml"
RESTLESS = """
from airflow.sdk import DAG
from airflow_mlpipe.operators import CommandOperator
from pendulum import now

with DAG("restless", schedule=None, doc_md=str(now())):
    CommandOperator(task_id="one", command="true")
"""


def versions(folder: Path, home: Path, times: int, seed: str, zone: str) -> dict[str, int]:
    """Parse what lies in a folder in a process of its own; return the versions of each DAG that are known by then."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONHASHSEED": seed,
        "TZ": zone,
    }
    words = [sys.executable, str(PROGRAM), str(folder), str(times)]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(900)
def test_two_hundred_parses_give_one_version(tmp_path: Path) -> None:
    """The restless DAG shows that a file which is not the same each time would be seen."""
    dags, home = tmp_path / "dags", tmp_path / "home"
    assert main(["generate", str(FLIGHTS), "-o", str(dags)]) == 0
    assert versions(dags, home, 100, "0", "UTC") == {"flights": 1}
    (dags / "restless.py").write_text(RESTLESS)
    assert versions(dags, home, 100, "4711", "Asia/Tokyo") == {"flights": 1, "restless": 2}
