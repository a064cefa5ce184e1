"""Pipelines inside a pipeline become steps with qualified names, and everything is bound through the boundary."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.model import PipelineSpec, StepOptions
from airflow_mlpipe.spec.step import InputData, OutputData, Partitions, Step

NESTED = Path(__file__).parents[1] / "generator/pipelines/nested/pipeline.yml"

HEAD = """
type: pipeline
name: outer
inputs:
  raw: {type: uri_folder, path: ./data}
  lr: {type: number, default: 0.1}
"""
PART = """
type: pipeline
inputs:
  data: {type: uri_folder}
  extra: {type: uri_folder, optional: true}
  lr: {type: number, default: 0.5}
  name: {type: string, default: plain}
outputs:
  model: {type: uri_folder}
jobs:
  first:
    command: echo ${{inputs.data}} $[[${{inputs.extra}}]] ${{inputs.lr}} ${{inputs.text}} > ${{outputs.o}}/x
    inputs:
      data: {path: '${{parent.inputs.data}}', mode: download}
      extra: '${{parent.inputs.extra}}'
      lr: ${{parent.inputs.lr}}
      text: 'rate ${{parent.inputs.lr}} of ${{parent.inputs.name}} in ${{airflow.run_id}}'
    outputs: {o: {}}
    airflow: {optional_inputs: [extra], retries: 5}
  second:
    command: echo ${{inputs.x}} > ${{outputs.m}}/x
    compute: azureml:here
    inputs: {x: '${{parent.jobs.first.outputs.o}}'}
    outputs: {m: '${{parent.outputs.model}}'}
"""


def load(folder: Path, jobs: str, part: str = PART) -> PipelineSpec:
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "parts/part.yml").write_text(part)
    (folder / "pipeline.yml").write_text(HEAD + "jobs:\n" + jobs)
    return load_pipeline(folder / "pipeline.yml")


def named(spec: PipelineSpec) -> dict[str, Step]:
    return {step.name: step for step in spec.steps}


def test_one_component_twice_has_steps_of_its_own_each_time() -> None:
    spec = load_pipeline(NESTED)
    steps = named(spec)
    assert list(steps) == [
        "east_model.clean",
        "east_model.fit.train",
        "west_model.clean",
        "west_model.fit.train",
        "compare",
    ]
    assert spec.groups("east_model.fit.train") == ("east_model", "fit")
    assert spec.groups("compare") == ()
    assert steps["compare"].upstream == ("east_model.fit.train", "west_model.fit.train")
    assert steps["west_model.clean"].upstream == ("east_model.fit.train",)
    assert steps["east_model.fit.train"].outputs["model"] == OutputData(type="mlflow_model", name="east-model")
    assert steps["west_model.fit.train"].outputs["model"] == OutputData(type="mlflow_model")
    assert spec.files["west_model.fit.train"] == "components/fit.yml"
    assert spec.lines["west_model.fit.train"] == 9
    assert "compare" not in spec.files


def test_values_pass_the_boundary_in_the_words_of_the_outer_pipeline(tmp_path: Path) -> None:
    spec = load(
        tmp_path,
        "  a: {component: ./parts/part.yml, inputs: {data: '${{parent.inputs.raw}}', lr: '${{parent.inputs.lr}}', "
        "name: 'n ${{airflow.ds}}'}}\n"
        "  b: {component: ./parts/part.yml, inputs: {data: {path: ./other}, extra: "
        "'${{parent.jobs.a.outputs.model}}'}}\n",
    )
    steps = named(spec)
    assert steps["a.first"].inputs == {
        "data": InputData(path="./data", mode="download", parameter="raw"),
        "extra": None,
        "lr": "${{parent.inputs.lr}}",
        "text": "rate ${{parent.inputs.lr}} of n ${{airflow.ds}} in ${{airflow.run_id}}",
    }
    assert steps["b.first"].inputs == {
        "data": InputData(path="./other", mode="download"),
        "extra": InputData(path="${{parent.jobs.a.second.outputs.m}}", optional=True),
        "lr": 0.5,
        "text": "rate 0.5 of plain in ${{airflow.run_id}}",
    }
    assert steps["a.second"].inputs == {"x": InputData(path="${{parent.jobs.a.first.outputs.o}}")}
    assert steps["b.first"].upstream == ("a.second",)


def test_what_a_group_says_holds_for_its_steps_unless_they_say_it_themselves(tmp_path: Path) -> None:
    spec = load(
        tmp_path,
        """
  a:
    component: ./parts/part.yml
    compute: azureml:there
    inputs: {data: '${{parent.inputs.raw}}'}
    airflow:
      retries: 1
      pool: big
      partitions: {data: {files: '%Y.csv', every: year, anchor: '2013-01-01'}}
    settings: {force_rerun: true}
""",
    )
    steps = named(spec)
    assert (steps["a.first"].compute, steps["a.second"].compute) == ("there", "here")
    assert spec.step_options == {
        "a.first": StepOptions(retries=5, pool="big"),
        "a.second": StepOptions(retries=1, pool="big"),
    }
    data = steps["a.first"].inputs["data"]
    assert isinstance(data, InputData)
    assert data.partitions == Partitions(files="%Y.csv", every="year", anchor="2013-01-01")
    assert [step.is_deterministic for step in spec.steps] == [False, False]


def test_an_order_without_data_holds_for_whole_groups(tmp_path: Path) -> None:
    part = "type: pipeline\njobs: {x: {command: echo}, y: {command: echo}}\n"
    spec = load(
        tmp_path,
        "  before: {command: echo}\n"
        "  a: {component: ./parts/part.yml, airflow: {run_after: [before]}}\n"
        "  b: {component: ./parts/part.yml, airflow: {run_after: [a]}}\n"
        "  after: {command: echo, airflow: {run_after: [b]}}\n",
        part,
    )
    assert {step.name: step.upstream for step in spec.steps} == {
        "before": (),
        "a.x": ("before",),
        "a.y": ("before",),
        "b.x": ("a.x", "a.y"),
        "b.y": ("a.x", "a.y"),
        "after": ("b.x", "b.y"),
    }


def test_a_pipeline_file_serves_as_a_component(tmp_path: Path) -> None:
    part = PART + "airflow: {schedule: '@daily'}\nexperiment_name: e\n"
    spec = load(tmp_path, "  a: {component: ./parts/part.yml, inputs: {data: '${{parent.inputs.raw}}'}}\n", part)
    assert [step.name for step in spec.steps] == ["a.first", "a.second"]
    assert [(fault.code, fault.path) for fault in spec.warnings] == [
        ("MLP201", "airflow"),
        ("MLP201", "experiment_name"),
    ]


@pytest.mark.parametrize("name", ["a.x", "x"])
def test_a_step_keeps_its_identity_in_a_group(tmp_path: Path, name: str) -> None:
    part = "type: pipeline\njobs: {x: {command: echo hello, outputs: {o: {}}}}\n"
    inside = load(tmp_path, "  a: {component: ./parts/part.yml}\n  x: {command: echo hello, outputs: {o: {}}}\n", part)
    counting = replaced(named(inside)[name], name="", upstream=())
    assert counting == replaced(named(inside)["x"], name="", upstream=())
