"""Triggerers of a real Airflow killed at random moments: no deferred job is cancelled, started twice, or lost.

    python -m benchmarks.soak_triggerer --kills 40

Steps are deferred in batches while the triggerer is killed with SIGKILL and started again. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from airflow_mlpipe.testing.airflow_server import AirflowServer
from airflow_mlpipe.testing.postgres import PostgresServer
from benchmarks.measure import BenchmarkError
from benchmarks.thousand_jobs import workspace_settings

_BATCH = 8
_PATIENCE = 900.0
_LIFE = (2.0, 25.0)
"""Seconds that a triggerer lives: some are killed while they start, some while they follow."""
DAG = """
from airflow.sdk import DAG, Param
from airflow_mlpipe.operators import CommandOperator

with DAG("restarts", schedule=None, params={"key": Param("x")}):
    CommandOperator(
        task_id="work",
        command="sleep 45; echo ${{inputs.key}} > ${{outputs.o}}/key",
        inputs={"key": "${{parent.inputs.key}}"},
        outputs={"o": {}},
        defer_after=0.0,
        poll_interval=1.0,
    )
"""
_CONFIG = {
    "triggerer.job_heartbeat_sec": "1",
    "triggerer.triggerer_health_check_threshold": "5",  # a killed one counts as dead sooner, so more can be killed
    "core.max_active_runs_per_dag": "100",
}


def soak(folder: Path, kills: int, moments: random.Random) -> dict[str, object]:
    """Kill so many triggerers and look at what became of the steps."""
    connection = json.dumps({"conn_type": "mlpipe", "extra": {"workspace": workspace_settings(folder)}})
    (folder / "dags").mkdir()
    (folder / "dags" / "restarts.py").write_text(DAG)
    environment = {"AIRFLOW_CONN_MLPIPE_DEFAULT": connection}
    runs: list[str] = []
    killed = 0
    with ExitStack() as stack:
        database = stack.enter_context(PostgresServer()).address
        server = AirflowServer(
            folder / "airflow", folder / "dags", config=_CONFIG, environment=environment, database=database
        )
        stack.enter_context(server)
        server.api.wait_dag("restarts")
        server.api.unpause("restarts")
        while killed < kills:
            batch = [f"run-{len(runs) + number:04d}" for number in range(_BATCH)]
            for run_id in batch:
                server.api.trigger("restarts", {"key": run_id}, run_id)
            runs += batch
            killed += _kill_while_they_run(server, batch, kills - killed, moments)
        states = Counter(str(server.api.run("restarts", run_id)["state"]) for run_id in runs)
    journal = (folder / "jobs" / "submissions.jsonl").read_text().splitlines()
    cancelled = len(list((folder / "jobs").glob("*/cancel")))
    return {"kills": killed, "runs": len(runs), "jobs": len(journal), "cancelled": cancelled, **states}


def _kill_while_they_run(server: AirflowServer, batch: list[str], most: int, moments: random.Random) -> int:
    killed = 0
    deadline = time.monotonic() + _PATIENCE
    while not _all_ended(server, batch):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{batch} did not end in {_PATIENCE:.0f} s")
        time.sleep(moments.uniform(*_LIFE))
        if killed < most:
            server.kill_component("triggerer")
            server.start_component("triggerer")
            killed += 1
    return killed


def _all_ended(server: AirflowServer, batch: list[str]) -> bool:
    return all(server.api.run("restarts", run_id)["state"] in ("success", "failed") for run_id in batch)


def main(arguments: list[str]) -> int:
    """Print the figures; 1 if a step was done twice, cancelled or not done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-triggerer-") as name:
        found = soak(Path(name), options.kills, random.Random(options.seed))
    more = {"seed": options.seed, "seconds": round(time.monotonic() - began), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({**found, **more}), flush=True)
    return 0 if found.get("success") == found["runs"] == found["jobs"] and not found["cancelled"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
