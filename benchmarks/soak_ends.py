"""Twenty of each: long steps that are marked failed, cleared or timed out in a real Airflow, and what is left of them.

    python -m benchmarks.soak_ends --count 20

Prints a line for each kind: how many ended, how long the slowest took from the event to its last process, orphans.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from airflow_mlpipe.testing.airflow_server import AirflowServer
from airflow_mlpipe.testing.postgres import PostgresServer
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping
from benchmarks.ends import DAG_IDS, DAGS, EVENTS, SITUATIONS, Case, orphans, write_plugin
from benchmarks.thousand_jobs import workspace_settings

_AT_ONCE = 4
_ALLOWED = 30.0
_PATIENCE = 90.0


@contextmanager
def real_airflow(folder: Path) -> Iterator[tuple[AirflowServer, Workspace]]:
    """Give a real Airflow with the DAGs and the target whose polls hang."""
    settings = workspace_settings(folder)
    settings["compute"]["hung"] = {"type": "hung", "workdir": str(folder / "jobs")}
    connection = json.dumps({"conn_type": "mlpipe", "extra": {"workspace": settings}})
    environment = {"AIRFLOW_CONN_MLPIPE_DEFAULT": connection, **write_plugin(folder / "plugin")}
    (folder / "dags").mkdir()
    (folder / "dags" / "ends.py").write_text(DAGS)
    config = {"triggerer.job_heartbeat_sec": "1", "core.parallelism": "8", "core.max_active_runs_per_dag": "100"}
    with ExitStack() as stack:
        database = stack.enter_context(PostgresServer()).address
        server = AirflowServer(
            folder / "airflow", folder / "dags", config=config, environment=environment, database=database
        )
        stack.enter_context(server)
        for dag_id in DAG_IDS:
            server.api.wait_dag(dag_id)
            server.api.unpause(dag_id)
        settings["compute"].pop("hung")
        yield server, workspace_from_mapping(settings, folder)


def end_some(cases: list[Case], patience: float) -> None:
    """Live through some cases side by side, a few at a time."""
    for start in range(0, len(cases), _AT_ONCE):
        group = cases[start : start + _AT_ONCE]
        for case in group:
            case.begin()
        with ThreadPoolExecutor(_AT_ONCE) as clocks:  # each has its own, whatever its neighbours take to begin
            gone = []
            for case in group:
                case.wait_begun()
                case.end()
                gone.append(clocks.submit(case.wait_gone, patience))
            for each in gone:
                each.result()
        for case in group:
            case.close()


def main(arguments: list[str]) -> int:
    """Print the figures; 1 if one took too long or something was left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--situation", choices=SITUATIONS, action="append", help="default: all")
    options = parser.parse_args(arguments)
    good = True
    with tempfile.TemporaryDirectory(prefix="soak-ends-") as name, real_airflow(Path(name)) as (server, workspace):
        for situation in options.situation or SITUATIONS:
            for event in EVENTS:
                runs = [f"{situation}-{event}-{number}" for number in range(options.count)]
                cases = [Case(server.api, workspace, situation, event, run_id) for run_id in runs]
                end_some(cases, _PATIENCE)
                seconds = sorted(case.seconds for case in cases)
                line = {"while": situation, "event": event, "ended": len(cases), "slowest": round(seconds[-1], 1)}
                line |= {"median": round(seconds[len(seconds) // 2], 1), "load": round(os.getloadavg()[0], 1)}
                print(json.dumps(line), flush=True)
                good &= seconds[-1] <= _ALLOWED
        left = _settled_orphans(workspace)
    print(json.dumps({"orphans": len(left)}), flush=True)
    return 0 if good and not left else 1


def _settled_orphans(workspace: Workspace) -> list[str]:
    """Return the processes that are left once the last kills have had their time."""
    deadline = time.monotonic() + _ALLOWED
    while (left := orphans(workspace)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
