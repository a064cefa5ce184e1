"""The benchmark of the generator in miniature: each system gets the same graph, what is measured is what is said."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import generator
from benchmarks.measure import BenchmarkError
from benchmarks.parse import probe
from benchmarks.peers import CONSTRAINTS, PEERS, _registry, write_blueprint, write_dag_factory, write_static
from benchmarks.pipelines import layers, step_name
from benchmarks.settings import Settings

STEPS = 23
GRAPH = {step_name(number): [step_name(before) for before in upstream] for number, upstream in layers(STEPS).items()}


def test_the_files_of_dag_factory_hold_the_graph(tmp_path: Path) -> None:
    loader = write_dag_factory(tmp_path / "dags", {"one": STEPS})
    tasks = yaml.safe_load((tmp_path / "dags/one.yml").read_text())["one"]["tasks"]
    assert {task["task_id"]: task["dependencies"] for task in tasks} == GRAPH
    assert "load_yaml_dags" in loader.read_text()


def test_the_files_of_blueprint_hold_the_graph(tmp_path: Path) -> None:
    loader = write_blueprint(tmp_path / "dags", {"one": STEPS})
    steps = yaml.safe_load((tmp_path / "dags/one.dag.yaml").read_text())["steps"]
    assert {name: step.get("depends_on", []) for name, step in steps.items()} == GRAPH
    ast.parse((tmp_path / "dags/shell_blueprints.py").read_text())
    ast.parse(loader.read_text())


def test_the_project_of_kedro_holds_the_graph() -> None:
    calls = [node for node in ast.walk(ast.parse(_registry(layers(STEPS)))) if isinstance(node, ast.Call)]
    nodes = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "node"]
    made: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for call in nodes:
        inputs, output = ast.literal_eval(call.args[1]), ast.literal_eval(call.args[2])
        name = ast.literal_eval(call.keywords[0].value)
        made[output] = name
        found[name] = [made[data] for data in inputs or []]
    assert found == GRAPH


def test_peers_are_pinned() -> None:
    assert [peer.pin.split("==")[0] for peer in PEERS] == ["dag-factory", "airflow-blueprint", "kedro-airflow"]
    lines = CONSTRAINTS[1].read_text().splitlines()
    assert lines == sorted(lines, key=lambda line: line.split("==")[0])


def test_what_is_parsed_is_what_the_issue_of_speed_is_about() -> None:
    sizes = {case: (len(dags), set(dags.values())) for case, dags in generator.cases().items()}
    assert sizes == {"1 x 10": (1, {10}), "1 x 100": (1, {100}), "1 x 1000": (1, {1000}), "100 x 10": (100, {10})}


@pytest.mark.airflow
def test_a_folder_of_dags_is_probed_and_its_number_checked(tmp_path: Path) -> None:
    write_static(tmp_path / "dags", {"one": 3, "two": 3})
    found: dict[str, Any] = probe([f"{tmp_path}/dags@2"], 1, tmp_path)
    assert len(found[f"{tmp_path}/dags@2"]["rounds"]) == 1
    with pytest.raises(BenchmarkError, match="holds 2 DAGs"):
        probe([f"{tmp_path}/dags@3"], 1, tmp_path)


@pytest.mark.airflow
def test_generating_many_measures_the_call_and_what_it_starts(tmp_path: Path) -> None:
    report = generator._generating(Settings(tmp_path, 1, lambda text: None), tmp_path / "many", 3)
    assert [row.what for row in report.rows] == ["first pass", "nothing changed", "one changed"]
    seconds, megabytes, again = report.bounds
    assert seconds.value > again.value > 0
    assert megabytes.value > 100  # Airflow is among what is measured
    assert len(list((tmp_path / "many/dags").glob("*.py"))) == 3


def test_another_outcome_than_expected_is_no_figure(tmp_path: Path) -> None:
    generator.write_pipelines(tmp_path / "pipelines", {"one": 1})
    (tmp_path / "pipelines/one.yml").write_text("type: pipeline\njobs: 7\n")
    with pytest.raises(BenchmarkError, match="ended with 2"):
        generator.call_mlpipe(tmp_path, "1 written")
    assert generator.call_mlpipe(tmp_path, " error MLP", code=2).code == 2
