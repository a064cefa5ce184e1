"""dag-factory, blueprint, kedro-airflow: the layered graph of :mod:`benchmarks.pipelines` as their users write it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import run_process
from benchmarks.parse import airflow_environment
from benchmarks.peer_environment import install
from benchmarks.pipelines import layers, step_name

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = (ROOT / "constraints.txt", Path(__file__).with_name("constraints-generators.txt"))
_QUIET = {"DO_NOT_TRACK": "1", "AIRFLOW__DAG_FACTORY__ENABLE_TELEMETRY": "False", "KEDRO_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class Peer:
    """A generator of DAGs.

    :param package: its distribution.
    :param write: writes DAGs (name to number of tasks) into a folder and returns the file that a task start parses.
    """

    package: str
    write: Callable[[Path, Mapping[str, int]], Path]

    @property
    def pin(self) -> str:
        """Name and version."""
        lines = CONSTRAINTS[1].read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.partition("==")[0] == self.package)

    def python(self) -> Path:
        """Return the interpreter of its environment, with the Airflow of this project's pins."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        what = b"".join(file.read_bytes() for file in CONSTRAINTS) + sys.version.encode()
        folder = cache / "airflow-mlpipe" / f"{self.package}-{hashlib.sha256(what).hexdigest()[:12]}"
        return install(folder, [self.package, "apache-airflow"], CONSTRAINTS) / "python"


def write_static(folder: Path, dags: Mapping[str, int]) -> Path:
    """Write DAG files of shell tasks by hand, one a DAG; return the first."""
    folder.mkdir(parents=True)
    for name, steps in dags.items():
        lines = [
            "from airflow.sdk import DAG",
            "from airflow.providers.standard.operators.bash import BashOperator",
            "",
        ]
        lines.append(f'with DAG(dag_id="{name}", schedule=None, catchup=False):')
        for number, upstream in layers(steps).items():
            task = step_name(number)
            lines.append(f'    {task} = BashOperator(task_id="{task}", bash_command="echo {number}", retries=3)')
            if upstream:
                lines.append(f"    [{', '.join(map(step_name, upstream))}] >> {task}")
        (folder / f"{name}.py").write_text("\n".join([*lines, ""]))
    return folder / f"{next(iter(dags))}.py"


def write_dag_factory(folder: Path, dags: Mapping[str, int]) -> Path:
    """Write one YAML file a DAG, and the one loader that all of them share."""
    folder.mkdir(parents=True)
    for name, steps in dags.items():
        tasks = [
            {
                "task_id": step_name(number),
                "operator": "airflow.providers.standard.operators.bash.BashOperator",
                "bash_command": f"echo {number}",
                "retries": 3,
                "dependencies": [step_name(before) for before in upstream],
            }
            for number, upstream in layers(steps).items()
        ]
        arguments = {"owner": "me", "start_date": "2024-01-01"}
        dag = {"default_args": arguments, "schedule": None, "catchup": False, "tasks": tasks}
        (folder / f"{name}.yml").write_text(json.dumps({name: dag}))
    loader = folder / "loader.py"
    loader.write_text(
        "from pathlib import Path\nfrom airflow.sdk import DAG\nfrom dagfactory import load_yaml_dags\n"
        "load_yaml_dags(globals_dict=globals(), dags_folder=str(Path(__file__).parent))\n"
    )
    return loader


def write_blueprint(folder: Path, dags: Mapping[str, int]) -> Path:
    """Write one YAML file a DAG, a template of a shell step, and the loader."""
    folder.mkdir(parents=True)
    for name, steps in dags.items():
        found = {
            step_name(number): {
                "blueprint": "shell",
                "command": f"echo {number}",
                **({"depends_on": [step_name(before) for before in upstream]} if upstream else {}),
            }
            for number, upstream in layers(steps).items()
        }
        (folder / f"{name}.dag.yaml").write_text(json.dumps({"dag_id": name, "steps": found}))
    (folder / "shell_blueprints.py").write_text(
        "from airflow.providers.standard.operators.bash import BashOperator\n"
        "from blueprint import BaseModel, Blueprint\n\n\n"
        "class ShellConfig(BaseModel):\n    command: str\n\n\n"
        "class Shell(Blueprint[ShellConfig]):\n    def render(self, config):\n"
        "        return BashOperator(task_id=self.step_id, bash_command=config.command, retries=3)\n"
    )
    loader = folder / "loader.py"
    loader.write_text(
        "from pathlib import Path\nfrom airflow.sdk import DAG\nfrom blueprint import build_all_airflow_dags\n"
        "build_all_airflow_dags(search_path=Path(__file__).parent)\n"
    )
    return loader


def write_kedro(folder: Path, dags: Mapping[str, int]) -> Path:
    """Write a kedro project with one pipeline and let kedro-airflow generate its DAG file."""
    [(name, steps)] = dags.items()
    files = {
        "pyproject.toml": f'[tool.kedro]\npackage_name = "{name}"\nproject_name = "{name}"\n'
        'kedro_init_version = "1.7.0"\nsource_dir = "src"\n',
        f"src/{name}/__init__.py": "",
        f"src/{name}/settings.py": "",
        f"src/{name}/pipeline_registry.py": _registry(layers(steps)),
        "conf/base/catalog.yml": "",
        "conf/local/credentials.yml": "",
    }
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    kedro = KEDRO.python().with_name("kedro")
    command = [kedro, "airflow", "create", "--target-dir", str(folder / "dags")]
    run_process(command, folder, {**airflow_environment(folder), **_QUIET}, expect="Converted pipeline")
    [file] = (folder / "dags").glob("*.py")
    return file


def _registry(graph: Mapping[int, Sequence[int]]) -> str:
    lines = ["from kedro.pipeline import Pipeline, node", "", "", "def work(*inputs):", "    return 1", "", ""]
    lines += ["def register_pipelines():", "    nodes = ["]
    for number, upstream in graph.items():
        inputs = [f"out_{before}" for before in upstream] or None
        lines.append(f'        node(work, {inputs!r}, "out_{number}", name="{step_name(number)}"),')
    return "\n".join([*lines, "    ]", '    return {"__default__": Pipeline(nodes)}', ""])


KEDRO = Peer("kedro-airflow", write_kedro)
FLEET_PEERS = (Peer("dag-factory", write_dag_factory), Peer("airflow-blueprint", write_blueprint))
PEERS = (*FLEET_PEERS, KEDRO)
