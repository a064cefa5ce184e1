"""Hardware and processes: from YAML to the job, refused where a target cannot give them, and no part of identity."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.compute.inline import InlineTarget
from airflow_mlpipe.compute.job_parts import Capabilities, Distribution, JobResources
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.planner import plan
from airflow_mlpipe.execution.resolve import resolve_step
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.generator.plan import plan_dag
from airflow_mlpipe.generator.render import Renderer
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.machines import Machines, ProcessGroup
from tests.execution.conftest import command_step, make_workspace

PIPELINE = """
type: pipeline
name: big
jobs:
  plain: {type: command, command: echo, resources: {instance_count: 1}}
  train:
    type: command
    component: ./train.yml
    resources: {instance_count: 2, properties: {gpus: 1}}
  rows:
    type: parallel
    task: {type: run_function, code: ., entry_script: rows.py}
    input_data: ${{inputs.data}}
    inputs: {data: {type: uri_folder, path: .}}
    resources: {instance_count: 3, properties: {cpus: 4}}
"""
COMPONENT = """
type: command
command: python train.py
code: .
resources: {instance_count: 8, shm_size: 2g, properties: {memory: 16g, partition: long}}
distribution: {type: pytorch, process_count_per_instance: 4}
"""
GPUS = Machines(gpus=2)


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    (tmp_path / "train.yml").write_text(COMPONENT)
    (tmp_path / "train.py").touch()
    (tmp_path / "rows.py").write_text("def run(batch): return batch\n")
    (tmp_path / "pipeline.yml").write_text(PIPELINE)
    return tmp_path / "pipeline.yml"


def test_the_job_wins_over_its_component_key_by_key(pipeline: Path) -> None:
    spec = load_pipeline(pipeline)
    steps = {step.name: step for step in spec.steps}
    assert (steps["plain"].resources, steps["plain"].distribution) == (None, None)
    assert steps["train"].resources == Machines(instance_count=2, memory=16 << 30, gpus=1)
    assert steps["train"].distribution == ProcessGroup(type="pytorch", process_count_per_instance=4)
    assert steps["rows"].resources == Machines(cpus=4)
    said = "\n".join(str(warning) for warning in spec.warnings)
    assert "jobs.rows.resources.instance_count: is not used" in said
    assert "resources.properties.partition: is not used; read are cpus, memory, gpus." in said
    assert "shm_size" in said


def test_the_dag_file_says_the_same(pipeline: Path) -> None:
    text = Renderer().render(plan_dag(load_pipeline(pipeline), pipeline.parent))
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    found = {
        keyword.arg: ast.literal_eval(keyword.value)
        for call in calls
        for keyword in call.keywords
        if keyword.arg == "distribution" or (keyword.arg == "resources" and "gpus" in ast.unparse(keyword.value))
    }
    assert found == {
        "resources": {"instance_count": 2, "memory": 16 << 30, "gpus": 1},
        "distribution": {"type": "pytorch", "process_count_per_instance": 4},
    }


@pytest.mark.parametrize("look", [plan, begin])
def test_a_target_that_cannot_give_it_refuses_before_anything_begins(
    look: Callable[..., Any], tmp_path: Path, new_run: Callable[..., RunInfo]
) -> None:
    workspace = make_workspace(tmp_path)
    group = ProcessGroup(type="mpi")
    step = command_step(resources=GPUS, distribution=group)
    with pytest.raises(ConfigError) as caught:
        plan(workspace, [step], new_run()) if look is plan else begin(workspace, step, new_run(), 0)
    assert str(caught.value) == (
        "Step train asks for gpus 2, distribution mpi, which the compute target 'local' cannot give. It gives: no "
        "choice of hardware; distribution: none. Choose another target with 'compute' (mlpipe compute list), "
        "or leave it out."
    )
    assert workspace.runs.jobs("demo", "r1", "train") == []


def test_a_target_that_can_gets_it_with_the_job(tmp_path: Path, new_run: Callable[..., RunInfo]) -> None:
    class BigTarget(InlineTarget):
        capabilities = Capabilities(gives=frozenset({"gpus"}), distributions=frozenset({"mpi"}))

    workspace = make_workspace(tmp_path)
    target = workspace._targets["local"] = BigTarget("local")
    begin(workspace, command_step(resources=GPUS, distribution={"type": "mpi"}), new_run(), 0)
    [(_, spec)] = target.submissions
    assert spec.resources == JobResources(gpus=2, distribution=Distribution("mpi", 1))
    target.close()


def test_resources_do_not_count_and_a_distribution_does(tmp_path: Path, new_run: Callable[..., RunInfo]) -> None:
    workspace = make_workspace(tmp_path)

    def key(**fields: Any) -> str:
        resolved = resolve_step(workspace, command_step(**fields), new_run(), lambda _: None)
        assert ("distribution" in resolved.fingerprint.parts["step"]) == ("distribution" in fields)
        return resolved.fingerprint.key

    assert key() == key(resources=GPUS)
    assert key() != key(distribution={"type": "mpi"})
