"""Environments: what they change in a pipeline, and what they may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.project.loading import load_project
from airflow_mlpipe.project.overlay import Overlay
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.model import PipelineSpec, Schedule

PIPELINE = """\
type: pipeline
name: flights
inputs:
  rate: {type: number, default: 0.1, max: 1}
  month: {type: string}
jobs:
  prepare:
    type: command
    command: echo ${{inputs.raw}} ${{inputs.month}}
    inputs:
      raw: {type: uri_folder, path: azureml://datastores/landing/paths/flights}
      month: ${{parent.inputs.month}}
    outputs: {rows: {type: uri_folder}}
  train:
    type: command
    command: echo ${{inputs.rows}}
    compute: azureml:gpu-box
    inputs: {rows: "${{parent.jobs.prepare.outputs.rows}}"}
    airflow: {pool: gpu}
airflow: {tags: [a], start_date: 2024-01-01, pool: cpu}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PipelineSpec:
    monkeypatch.chdir(tmp_path)
    Path("flights.yml").write_text(PIPELINE)
    return load_pipeline("flights.yml")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project file lies in the current folder."""
    monkeypatch.chdir(tmp_path)


def overlay(*lines: str) -> Overlay:
    Path("mlpipe.toml").write_text("\n".join(["[environments.dev]", *lines]))
    return load_project(Path("mlpipe.toml")).environment("dev").overlay


def refused(spec: PipelineSpec, *lines: str) -> str:
    with pytest.raises(SpecError) as caught:
        overlay(*lines).apply(spec)
    return str(caught.value)


def test_nothing_said_changes_nothing(spec: PipelineSpec) -> None:
    assert overlay().apply(spec) == spec


def test_everything_that_may_change(spec: PipelineSpec) -> None:
    changed = overlay(
        'dag_id_prefix = "dev_"',
        'dag_id_suffix = ".v2"',
        'tags = ["b", "a"]',
        'schedule = {type = "recurrence", frequency = "day", interval = 2}',
        "compute = {gpu-box = 'local'}",
        "datastore = {landing = 'landing_dev'}",
        "pool = {gpu = 'small'}",
        "parameters = {rate = 1, month = 'x', other = 3}",
    ).apply(spec)
    prepare, train = changed.steps
    assert changed.name == "dev_flights.v2"
    assert changed.airflow.tags == ("a", "b")
    assert changed.airflow.schedule == Schedule(every=172800.0)
    assert (prepare.compute, train.compute) == (None, "local")
    assert prepare.inputs["raw"].path == "azureml://datastores/landing_dev/paths/flights"  # type: ignore[union-attr]
    assert train.inputs == spec.steps[1].inputs
    assert changed.step_options["train"].pool == "small"
    assert changed.airflow.pool == "cpu"
    assert changed.parameters["rate"].default == 1.0
    assert changed.parameters["month"].default == "x"


def test_one_name_is_for_all(spec: PipelineSpec) -> None:
    changed = overlay("compute = 'local'", "pool = 'small'").apply(spec)
    assert [step.compute for step in changed.steps] == ["local", "local"]
    assert (changed.airflow.pool, changed.step_options["train"].pool) == ("small", "small")
    assert changed.step_options["prepare"].pool is None


def test_what_is_said_of_a_pipeline_goes_before_what_is_said_of_all(spec: PipelineSpec) -> None:
    lines = ("schedule = '@daily'", "parameters = {rate = 0.5, month = 'x'}")
    single = ("[environments.dev.pipelines.flights]", "schedule = false", "parameters = {rate = 0.7}")
    changed = overlay(*lines, *single).apply(spec)
    assert changed.airflow.schedule is None
    assert (changed.parameters["rate"].default, changed.parameters["month"].default) == (0.7, "x")
    other = overlay(*lines, *single).apply(replaced(spec, name="other"))
    assert other.airflow.schedule == Schedule(expression="@daily")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["parameters = {rate = 'x'}"], "mlpipe.toml:2:14 error MLP130  environments.dev.parameters.rate: of the pip"),
        (["parameters.rate = 7"], "mlpipe.toml:2:19 error MLP130  environments.dev.parameters.rate: of the pipeline"),
        (["", "schedule = '@daily'"], "mlpipe.toml:3:1 error MLP144  environments.dev.schedule: 'month' of the pipe"),
        (
            ["[environments.dev.pipelines.flights.compute]", "gpu-bx = 'x'"],
            "mlpipe.toml:3:1 error MLP157  environments.dev.pipelines.flights.compute.gpu-bx: the pipeline 'flights' "
            "uses no compute target 'gpu-bx'. Did you mean 'gpu-box'?",
        ),
        (["[environments.dev.pipelines.flights]", "parameters.rat = 1"], "mlpipe.toml:3:1 error MLP157"),
        (["[environments.dev.pipelines.flights]", "datastore.x = 'y'"], "mlpipe.toml:3:1 error MLP157"),
        (["[environments.dev.pipelines.flights]", "pool.x = 'y'"], "mlpipe.toml:3:1 error MLP157"),
    ],
)
def test_what_does_not_fit_is_told_at_its_place(spec: PipelineSpec, lines: list[str], expected: str) -> None:
    assert refused(spec, *lines).startswith(expected)


def test_a_recurrence_needs_a_start(spec: PipelineSpec) -> None:
    block = replaced(spec.airflow, start_date=None)
    bare = replaced(spec, airflow=block, parameters={})
    text = refused(bare, "schedule = {type = 'recurrence', frequency = 'day', interval = 2}")
    assert text.startswith("mlpipe.toml:2:12 error MLP143")


def test_pipelines_that_are_not_there_are_named(spec: PipelineSpec) -> None:
    found = overlay("[environments.dev.pipelines.flighst]", "tags = ['x']").unknown_pipelines({"flights"})
    assert [str(fault) for fault in found] == [
        "mlpipe.toml:2:1 error MLP156  environments.dev.pipelines.flighst: there is no pipeline 'flighst'. "
        "Did you mean 'flights'?"
    ]


def test_what_a_schedule_watches_moves_with_the_data(tmp_path: Path) -> None:
    file = tmp_path / "p.yml"
    watch = "{type: on_data_change, path: azureml://datastores/landing/paths/raw}"
    file.write_text(f"type: pipeline\njobs: {{a: {{command: echo}}}}\nairflow: {{schedule: {watch}}}\n")
    changed = overlay("[environments.dev.pipelines.p]", "datastore.landing = 'landing_dev'").apply(load_pipeline(file))
    assert changed.airflow.schedule == Schedule(data="azureml://datastores/landing_dev/paths/raw")
