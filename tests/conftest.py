"""An Airflow for tests that load it: its home is a temporary folder, set before anything imports it."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.testing.ray_server import RayServer, ensure_ray
from airflow_mlpipe.testing.slurm import SlurmCluster
from airflow_mlpipe.testing.sshd import SSHServer

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_HOME = tempfile.mkdtemp(prefix="mlpipe-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "XDG_CACHE_HOME": f"{_HOME}/cache",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
}
os.environ.pop("MLPIPE_WORKSPACE", None)

PYTHON_SCRIPT = """\
import json, os, pathlib, sys, time
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("arguments", json.dumps(sys.argv[1:]), flush=True)
pathlib.Path("pid").write_text(str(os.getpid()))
time.sleep(float(arguments.get("--sleep", 0)))
if "--fail" in arguments:
    print("no such column: carrier", flush=True)
    sys.exit(int(arguments["--fail"]))
out = pathlib.Path(arguments["--out"])
out.mkdir(parents=True, exist_ok=True)
(out / "result.txt").write_text(arguments.get("--text", "x"))
"""


class AirflowProject:
    """A DAG folder with a workspace and a script, and contexts as Airflow's task runner makes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "dags" / "src").mkdir(parents=True)
        (folder / "landing" / "raw").mkdir(parents=True)
        (folder / "landing" / "raw" / "a.csv").write_text("1,2\n")
        (folder / "dags" / "src" / "step.py").write_text(PYTHON_SCRIPT)
        self.workspace: dict[str, Any] = {
            "name": "test",
            "datastores": {
                "workspaceblobstore": {"type": "local", "path": str(folder / "store")},
                "landing": {"type": "local", "path": str(folder / "landing")},
            },
            "compute": {"local": {"type": "local", "workdir": str(folder / "jobs")}},
            "scratch": str(folder / "scratch"),
        }
        (folder / "dags" / "workspace.yml").write_text(json.dumps(self.workspace))

    def dag(self, dag_id: str = "flights", **arguments: Any) -> Any:
        """Return a DAG whose file lies in the project's folder."""
        from airflow.sdk import DAG

        dag = DAG(dag_id, schedule=None, **arguments)
        dag.fileloc = str(self.folder / "dags" / f"{dag_id}.py")
        return dag

    def context(self, operator: Any, run_id: str = "run-1", **changes: Any) -> dict[str, Any]:
        """Return the context of a run that was triggered over REST without dates.

        :param changes: ``params`` and ``max_tries``, ``map_index``, ``conf``, or further keys of the context.
        """
        conf = changes.pop("conf", {})
        ti = SimpleNamespace(max_tries=changes.pop("max_tries", 1), map_index=changes.pop("map_index", -1))
        params = {**{name: operator.dag.params[name] for name in operator.dag.params}, **changes.pop("params", {})}
        run = SimpleNamespace(run_id=run_id, run_type="manual", partition_key=None, conf=conf, logical_date=None)
        return {"dag": operator.dag, "run_id": run_id, "dag_run": run, "ti": ti, "params": params, **changes}

    def submissions(self) -> list[dict[str, Any]]:
        """Return the journal of the local target: one entry for each job that was started."""
        journal = self.folder / "jobs" / "submissions.jsonl"
        return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzuriteServer]:
    """A real Azurite for all tests that want one; each makes its own container."""
    with AzuriteServer(tmp_path_factory.mktemp("azurite"), program=ROOT / ".azurite") as server:
        yield server


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHServer]:
    """A real SSH server for all tests that want one."""
    with SSHServer(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def ray_server() -> Iterator[RayServer]:
    """A real Ray cluster for all tests that want one."""
    with RayServer(ensure_ray(ROOT / "tests" / "ray" / "constraints.txt", CACHE)) as server:
        yield server


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmCluster]:
    """A real Slurm for all tests that want one."""
    with tempfile.TemporaryDirectory(prefix="mlpipe-slurm-") as folder, SlurmCluster(Path(folder)) as cluster:
        yield cluster


@pytest.fixture
def project(tmp_path: Path) -> AirflowProject:
    """A project in a temporary folder."""
    return AirflowProject(tmp_path / "project")


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], Any]:
    """Return a function that waits until a condition holds, and returns what it gave."""
    return _wait_until


def _wait_until(condition: Callable[[], object], timeout: float = 60) -> Any:
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)
    return value


@pytest.fixture
def task_log() -> Iterator[Callable[[], str]]:
    """Return a function that gives what tasks and triggers have logged so far."""
    from structlog.testing import capture_logs

    def text() -> str:
        return "\n".join(str(entry["event"]) % tuple(entry.get("positional_args", ())) for entry in entries)

    with capture_logs() as entries:
        yield text
