"""The flights pipeline in one run of the real Airflow: a step over SSH, one on Ray, one on Slurm, the rest here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.testing.ray_server import RayServer
from airflow_mlpipe.testing.slurm import SlurmCluster
from airflow_mlpipe.testing.sshd import SSHServer
from airflow_mlpipe.workspace import Workspace, load_workspace
from tests.conftest import ROOT

pytestmark = pytest.mark.airflow

EXAMPLE = ROOT / "example_dags" / "flight_delays"
TARGETS = {"prepare": "box", "train": "cluster", "score": "queue"}
LINES = {"prepare": "flights of 2013-05, 2013-06, 2013-07", "train": "training_auc", "score": "mini-batch 8 of 8 done"}
MONTH = "2013-07-01"


def settings(folder: Path, landing: Path, compute: dict[str, Any]) -> dict[str, Any]:
    """Return a workspace with a store of its own, and this machine as its default target."""
    return {
        "name": folder.name,
        "datastores": {
            "workspaceblobstore": {"type": "local", "path": str(folder / "store")},
            "landing": {"type": "local", "path": str(landing)},
        },
        "compute": {"local": {"type": "local", "workdir": str(folder / "jobs")}, **compute},
        "scratch": str(folder / "scratch"),
    }


def contents(workspace: Workspace, run_id: str) -> dict[str, str]:
    """Return the content digest of every output of a run."""
    records = workspace.runs.steps("flight_delays", run_id)
    return {f"{record.step}.{port}": ref.content.digest for record in records for port, ref in record.outputs.items()}


def said(airflow: Any) -> str:
    """Return the logs of the tasks that failed."""
    states = airflow.api.task_states("flight_delays", "everywhere")
    failed = [task for task, state in states.items() if state == "failed"]
    return "\n".join(airflow.api.task_log("flight_delays", "everywhere", task) for task in failed)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example with its months of data, and a workspace in which everything runs here."""
    shutil.copytree(EXAMPLE, tmp_path / "here", ignore=shutil.ignore_patterns(".mlpipe", "__pycache__"))
    subprocess.run([sys.executable, EXAMPLE / "landing.py", tmp_path / "landing"], check=True, capture_output=True)
    place = settings(tmp_path / "here", tmp_path / "landing", {})
    (tmp_path / "here" / "workspace.yml").write_text(json.dumps(place))
    return tmp_path / "here"


@pytest.fixture
def elsewhere(
    project: Path, tmp_path: Path, airflow: Any, sshd: SSHServer, ray_server: RayServer, slurm: SlurmCluster
) -> Workspace:
    """The same pipeline below Airflow's DAGs, whose steps name other targets, and the workspace that has them."""
    folder = Path(airflow.project.folder) / "dags" / "everywhere"
    spec = (project / "pipeline.yml").read_text().replace("catchup: true", "catchup: false")
    for job, target in TARGETS.items():
        spec, found = re.subn(rf"(?m)^  {job}:\n", f"  {job}:\n    compute: azureml:{target}\n", spec)
        assert found == 1
    (project / "elsewhere.yml").write_text(spec)
    assert main(["generate", str(project / "elsewhere.yml"), "-o", str(folder)]) == 0
    file = folder / "flight_delays.py"
    rule = 'trigger_rule="none_failed",'
    text = file.read_text().replace(rule, f"{rule} defer_after=0.2, poll_interval=0.5,")
    file.write_text(text.replace("task_id=", 'mlpipe_conn_id="everywhere", task_id='))
    token = tmp_path / "token"
    token.write_text(ray_server.token)
    python = {"python": sys.executable}
    compute = {
        "box": {"type": "ssh", **sshd.settings, "workdir": str(tmp_path / "far"), **python},
        "cluster": {"type": "ray", "address": ray_server.address, "token": {"file": str(token)}, **python}
        | {"workdir": str(tmp_path / "ray")},
        "queue": {"type": "slurm", "workdir": str(tmp_path / "slurm"), "conf": str(slurm.conf), **python},
    }
    place = settings(tmp_path / "elsewhere", tmp_path / "landing", compute)
    (tmp_path / "workspace.yml").write_text(json.dumps(place))
    extra = json.dumps({"workspace_file": str(tmp_path / "workspace.yml")})
    connection = {"connection_id": "everywhere", "conn_type": "mlpipe", "extra": extra}
    airflow.api.call("POST", "/connections", connection)
    return load_workspace(tmp_path / "workspace.yml")


@pytest.mark.timeout(900)
def test_one_run_over_ssh_on_ray_and_on_slurm_gives_the_bytes_of_a_run_here(
    airflow: Any, project: Path, elsewhere: Workspace
) -> None:
    airflow.api.wait_dag("flight_delays")
    airflow.api.unpause("flight_delays")
    airflow.api.trigger("flight_delays", {"month": MONTH}, "everywhere")
    assert main(["run", str(project / "pipeline.yml"), "--date", MONTH, "--quiet"]) == 0
    state = airflow.api.wait_run("flight_delays", "everywhere", 600)
    assert state == "success", said(airflow)
    for step, target in TARGETS.items():
        jobs = elsewhere.runs.jobs("flight_delays", "everywhere", step)
        assert [job.target for job in jobs] == [target]
        log = airflow.api.task_log("flight_delays", "everywhere", step)
        assert "DEFERRED" in log
        assert [line for line in log.splitlines() if "| " in line and LINES[step] in line]
    local = load_workspace(project / "workspace.yml")
    [run] = local.runs.runs("flight_delays")
    here = contents(local, run.run_id)
    assert "train.model" in here
    assert contents(elsewhere, "everywhere") == here
