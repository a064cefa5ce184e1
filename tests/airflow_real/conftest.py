"""One real Airflow for all tests of this folder: API server, scheduler, DAG processor, triggerer, local jobs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.compute.local import LocalTarget
from airflow_mlpipe.testing.airflow_server import AirflowServer
from airflow_mlpipe.workspace import Workspace, load_workspace
from benchmarks import ends

DAGS = """
from airflow.sdk import DAG, Asset, Param, TaskGroup
from airflow_mlpipe.operators import (
    BranchOperator,
    CommandOperator,
    OrphanSweepOperator,
    PlanOperator,
    PythonScriptOperator,
    callback,
)
from airflow_mlpipe.sensors import DataChangedSensor, changed_data

TEXT = Param("x", type="string")
RAW = Param(None, type=["string", "null"], pattern="^azureml:", mlpipe_data=True)

with DAG("flow", schedule=None, params={"text": TEXT, "rate": Param(0.1, type="number", maximum=1), "raw": RAW}):
    prepare = PythonScriptOperator(
        task_id="prepare",
        script_name="step.py",
        arguments=["--out", "${{outputs.o}}", "--text", "${{inputs.text}}"],
        code="src",
        inputs={
            "raw": {"path": "azureml://datastores/landing/paths/raw", "parameter": "raw"},
            "text": "${{parent.inputs.text}}",
        },
        outputs={"o": {}},
    )
    train = CommandOperator(
        task_id="train",
        command="cat ${{inputs.i}}/result.txt > ${{outputs.o}}/copy && echo ${{inputs.rate}} && "
        "printenv PLAIN > ${{outputs.o}}/env",
        inputs={"i": prepare.outputs["o"], "rate": "${{parent.inputs.rate}}"},
        outputs={"o": {}},
        environment_variables={"PLAIN": PLAIN},
    )
    PlanOperator(task_id="plan") >> prepare

with DAG("branched", schedule=None, params={"good": Param("true", type="string")}):
    with TaskGroup(group_id="first"):
        check = CommandOperator(
            task_id="check",
            command="echo ${{inputs.good}} > ${{outputs.good}}",
            inputs={"good": "${{parent.inputs.good}}"},
            outputs={"good": {"type": "uri_file", "value": "boolean"}},
        )
    decide = BranchOperator(
        task_id="decide", condition=check.outputs["good"], when_true=["deploy", "tell"], when_false=["repair"]
    )
    deploy = CommandOperator(task_id="deploy", command="echo > ${{outputs.o}}/made", outputs={"o": {}})
    tell = CommandOperator(task_id="tell", command="ls ${{inputs.o}}", inputs={"o": deploy.outputs["o"]})
    repair = CommandOperator(task_id="repair", command="echo > ${{outputs.o}}/made", outputs={"o": {}})
    report = CommandOperator(
        task_id="report",
        command="ls $[[${{inputs.a}}]] $[[${{inputs.b}}]]",
        inputs={
            "a": {"path": "${{parent.jobs.deploy.outputs.o}}", "optional": True},
            "b": {"path": "${{parent.jobs.repair.outputs.o}}", "optional": True},
        },
    )
    PlanOperator(task_id="plan") >> check
    decide >> [deploy, repair]

ASSET = Asset(name="dataset/watched", uri="mlpipe://dataset/watched")

with DAG("making", schedule=None, params={"text": TEXT}):
    make = CommandOperator(
        task_id="make",
        command="echo ${{inputs.text}} > ${{outputs.o}}/made",
        inputs={"text": "${{parent.inputs.text}}"},
        outputs={"o": {"name": "watched"}},
        outlets=[ASSET],
    )
    PlanOperator(task_id="plan") >> make

with DAG("taking", schedule=[ASSET]):
    CommandOperator(
        task_id="take",
        command="cat ${{inputs.data}}/made > ${{outputs.o}}/copy",
        inputs={"data": {"path": "azureml:watched@latest"}},
        outputs={"o": {}},
    )

LONG = \'\'\'echo begun; echo $$ > ${{outputs.o}}/pid; sleep 301 & echo $! > ${{outputs.o}}/child; \\
for i in $(seq ${{inputs.n}}); do sleep 0.5; echo tick $i; done; kill %1; echo ended\'\'\'

for dag_id, waiting in (("held", {"deferrable": False}), ("deferred", {"defer_after": 0.5})):
    with DAG(dag_id, schedule=None, params={"n": Param(600, type="integer"), "key": TEXT}):
        CommandOperator(
            task_id="long",
            command=LONG,
            inputs={"n": "${{parent.inputs.n}}", "key": "${{parent.inputs.key}}"},
            outputs={"o": {}},
            poll_interval=0.5,
            retries=2,
            retry_delay=1,
            **waiting,
        )

with DAG("watching", schedule=None):
    DataChangedSensor(task_id="new", path="azureml://datastores/landing/paths/new", poke_interval=0.5)

ARRIVALS = changed_data("changed", path="azureml://datastores/landing/paths/arrivals", poll_interval=0.5)

with DAG("changed", schedule=[ARRIVALS]):
    count = CommandOperator(
        task_id="count",
        command="find ${{inputs.raw}} -type f | sort > ${{outputs.o}}/names",
        inputs={"raw": {"path": "azureml://datastores/landing/paths/arrivals"}},
        outputs={"o": {}},
    )
    PlanOperator(task_id="plan") >> count

with DAG("alerting", schedule=None, on_failure_callback=callback("mlpipe_callbacks.run_failed")):
    CommandOperator(
        task_id="broken", command="exit 3", on_failure_callback=callback("mlpipe_callbacks.alerts.task_failed")
    )

with DAG("sweeping", schedule=None):
    OrphanSweepOperator(task_id="sweep", grace=1)

with DAG("failing", schedule=None, params={}):
    CommandOperator(task_id="broken", command="echo no such column: carrier; exit 7")
    CommandOperator(task_id="mistaken", command="true", compute="gpu", retries=3)
"""

JSON = "application/json"
Curl = Callable[..., tuple[int, Any]]
Mlpipe = Callable[..., tuple[int, str, str]]
HOSTILE = 'O\'Brien C:\\new """ {{ ds }} {% x %} $(touch x) `id` %s \u2028 ; lambda é'


class RealAirflow:
    """The running server, and what its jobs left on this machine."""

    def __init__(self, server: AirflowServer, project: Any) -> None:
        self.server = server
        self.api = server.api
        self.project = project

    @property
    def workspace(self) -> Workspace:
        """The workspace that the tasks write their records to."""
        return load_workspace(Path(self.project.folder) / "dags" / "workspace.yml")

    def run(self, dag_id: str, run_id: str, conf: dict[str, Any] | None = None) -> str:
        """Trigger a run, wait for its end, return its state."""
        return self.api.wait_run(dag_id, self.api.trigger(dag_id, conf, run_id))

    def place(self, dag_id: str, run_id: str, task_id: str, port: str = "o") -> Path:
        """Return the folder that a step's output lies in."""
        address = self.api.xcom(dag_id, run_id, task_id)[port]
        prefix = "azureml://datastores/workspaceblobstore/paths/"
        return Path(self.project.folder) / "store" / address.removeprefix(prefix)

    def processes(self, since: float) -> list[Path]:
        """Return the /proc folders of the shell and the child of the long job that began after ``since``."""
        files = [
            path
            for path in Path(self.project.folder).glob("store/mlpipe/attempts/*/o/*")
            if path.stat().st_mtime > since
        ]
        pids = [path.read_text().strip() for path in files if path.name in ("pid", "child")]
        return [Path("/proc", pid) for pid in pids if pid] if len(pids) == 2 else []


def write_callbacks(package: Path, alarms: Path) -> None:
    """Write functions that leave a file for each call."""
    package.mkdir()
    alarms.mkdir()
    function = (
        "from pathlib import Path\n\n\ndef {name}(context):\n"
        "    run = context['dag_run'].run_id\n    Path({place!r}, f'{name} {{run}}').touch()\n"
    )
    for file, name in (("__init__.py", "run_failed"), ("alerts.py", "task_failed")):
        (package / file).write_text(function.format(name=name, place=str(alarms)))


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAirflow]:
    """Start Airflow with the DAGs above; end it, whatever happened."""
    from tests.conftest import AirflowProject

    project = AirflowProject(tmp_path_factory.mktemp("real") / "project")
    text = textwrap.dedent(DAGS).replace("PLAIN}", repr(HOSTILE) + "}")
    (project.folder / "dags" / "flows.py").write_text(text)
    (project.folder / "dags" / ".airflowignore").write_text("src\n")
    write_callbacks(project.folder / "dags" / "mlpipe_callbacks", project.folder / "alarms")
    (project.folder / "dags" / "ends.py").write_text(ends.DAGS)
    hung = {"type": "hung", "workdir": project.workspace["compute"]["local"]["workdir"]}
    workspace = {**project.workspace, "compute": {**project.workspace["compute"], "hung": hung}}
    config = {
        "triggerer.job_heartbeat_sec": "1",
        "triggerer.triggerer_health_check_threshold": "6",
        "core.simple_auth_manager_users": "admin:admin,vera:viewer",
    }
    connection = json.dumps({"conn_type": "mlpipe", "extra": {"workspace": workspace}})
    plugin = ends.write_plugin(project.folder / "plugin")
    environment = {"AIRFLOW_CONN_MLPIPE_DEFAULT": connection, **plugin}
    server = AirflowServer(project.folder / "airflow", project.folder / "dags", config=config, environment=environment)
    with server:
        for dag_id in (
            "flow",
            "held",
            "deferred",
            "failing",
            "watching",
            "sweeping",
            "branched",
            "making",
            "taking",
            "changed",
            "alerting",
            *ends.DAG_IDS,
        ):
            server.api.wait_dag(dag_id)
            server.api.unpause(dag_id)
        yield RealAirflow(server, project)
    asyncio.run(_end_jobs(project))


@pytest.fixture
def token(airflow: Any) -> Callable[[str], str]:
    """Return a function that logs a user in."""

    def get(user: str) -> str:
        passwords = json.loads((airflow.server.home / "passwords.json").read_text())
        body = {"username": user, "password": passwords[user]}
        answer = httpx.post(f"{airflow.server.url}/auth/token", json=body, trust_env=False, timeout=60)
        return str(answer.raise_for_status().json()["access_token"])

    return get


@pytest.fixture
def curl(airflow: Any, token: Callable[[str], str], tmp_path: Path) -> Curl:
    """Call curl; returns the status and the JSON of the answer."""

    def call(
        path: str, body: Any = None, user: str | None = "admin", kind: str = "application/json"
    ) -> tuple[int, Any]:
        headers = tmp_path / "headers"
        headers.write_text(f"Content-Type: {kind}\n" + (f"Authorization: Bearer {token(user)}\n" if user else ""))
        words = ["curl", "-sS", "--noproxy", "*", "-H", f"@{headers}", "-w", "\n%{http_code}"]
        if body is not None:
            (tmp_path / "body").write_text(body if isinstance(body, str) else json.dumps(body))
            words += ["--data-binary", f"@{tmp_path / 'body'}"]
        done = subprocess.run([*words, airflow.server.url + path], capture_output=True, text=True, check=True)
        text, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(text)

    return call


@pytest.fixture
def mlpipe(airflow: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mlpipe:
    """Call the command against the running Airflow; returns exit code, output and errors."""
    monkeypatch.setenv("MLPIPE_AIRFLOW_URL", airflow.server.url)
    monkeypatch.setenv("MLPIPE_AIRFLOW_USER", airflow.server.username)
    monkeypatch.setenv("MLPIPE_AIRFLOW_PASSWORD", airflow.server.password)

    def call(*words: str) -> tuple[int, str, str]:
        code = main(words)
        said = capsys.readouterr()
        assert airflow.server.password not in said.out + said.err
        return code, said.out, said.err

    return call


async def _end_jobs(project: Any) -> None:
    """Jobs survive Airflow; a failed test must not leave one behind."""
    target = LocalTarget("local", project.folder / "jobs")
    for submission in project.submissions():
        handle = await target.find(submission["key"])
        if handle is not None:
            await target.cancel(handle, grace=0)
