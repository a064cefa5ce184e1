"""Names of outputs that the inputs of a job are part of."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.model import PipelineSpec

HEAD = "type: pipeline\nname: p\ninputs: {region: west}\njobs:\n"
LOOP = """\
  train:
    command: echo ${{inputs.shop}} > ${{outputs.model}}/x
    inputs: {shop: all}
    outputs: {model: {type: custom_model, name: "prices-${{inputs.shop}}"}}
  each:
    type: parallel_for
    body: ${{parent.jobs.train}}
    items: {a: {shop: harbour}, b: {shop: 7}, c: {}}
"""


def load(folder: Path, jobs: str) -> PipelineSpec:
    (folder / "pipeline.yml").write_text(HEAD + jobs)
    return load_pipeline(folder / "pipeline.yml")


def names(spec: PipelineSpec) -> dict[str, str | None]:
    return {step.name: output.name for step in spec.steps for output in step.outputs.values()}


def test_each_round_of_a_loop_registers_a_model_of_its_own(tmp_path: Path) -> None:
    found = names(load(tmp_path, LOOP))
    assert found == {"each.train_a": "prices-harbour", "each.train_b": "prices-7", "each.train_c": "prices-all"}


def test_a_component_may_give_the_name_and_the_value(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(
        "type: command\nname: c\ncommand: echo ${{inputs.shop}} > ${{outputs.model}}/x\n"
        "inputs: {shop: {type: string, default: hill}}\n"
        "outputs: {model: {type: custom_model, name: '${{ inputs.shop }}.m'}}\n"
    )
    jobs = "  one: {component: ./c.yml}\n  two: {component: ./c.yml, inputs: {shop: valley}}\n"
    assert names(load(tmp_path, jobs)) == {"one": "hill.m", "two": "valley.m"}


def test_a_pipeline_inside_a_pipeline_gives_its_model_a_name(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(
        "type: pipeline\nname: c\ninputs: {shop: {type: string}}\noutputs: {model: {type: custom_model}}\njobs:\n"
        "  fit:\n    command: echo ${{inputs.s}} > ${{outputs.m}}/x\n"
        "    inputs: {s: '${{parent.inputs.shop}}'}\n    outputs: {m: '${{parent.outputs.model}}'}\n"
    )
    jobs = "  one: {component: ./c.yml, inputs: {shop: hill}, outputs: {model: {name: 'm-${{inputs.shop}}'}}}\n"
    assert names(load(tmp_path, jobs)) == {"one.fit": "m-hill"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "prices-${{inputs.shop}}",
            "prices-${{inputs.shpo}}",
            "8:49 error MLP113  jobs.train.outputs.model.name: '${{inputs.shpo}}' names no input of this job. "
            "Did you mean 'shop'?",
        ),
        (
            "{shop: harbour}",
            "{shop: '${{parent.inputs.region}}'}",
            "8:49 error MLP041  jobs.train.outputs.model.name: '${{inputs.shop}}' must be text or a whole number that "
            "stands in the pipeline, not '${{parent.inputs.region}}': the name of an output is known before the run.",
        ),
        ("{shop: 7}", "{shop: 1.5}", "8:49 error MLP041  jobs.train.outputs.model.name: '${{inputs.shop}}' must be"),
        (
            "{shop: harbour}",
            "{shop: old town}",
            "8:49 error MLP030  jobs.train.outputs.model.name: 'prices-old town' cannot be the name of an output",
        ),
        ("prices-${{inputs.shop}}", "${{parent.inputs.region}}", "8:49 error MLP024  jobs.train.outputs.model.name: "),
    ],
)
def test_a_name_that_cannot_be_known_is_told(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in LOOP
    with pytest.raises(SpecError) as caught:
        load(tmp_path, LOOP.replace(old, new))
    [fault] = caught.value.faults
    assert str(fault).startswith(f"{tmp_path / 'pipeline.yml'}:{expected}")
