"""Schedule files of Azure ML: the pipeline under another name, with a trigger, settings and inputs of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.model import PipelineSpec, Schedule
from airflow_mlpipe.spec.step import InputData

PIPELINE = """
type: pipeline
name: scoring
description: Scores.
tags: {team: ml, stage: test}
inputs:
  data: {type: uri_folder}
  rate: {type: number, min: 0, max: 1}
  day: {type: string, default: "${{airflow.ds}}"}
jobs:
  score:
    command: echo ${{inputs.data}} ${{inputs.rate}} ${{inputs.day}}
    inputs: {data: "${{parent.inputs.data}}", rate: "${{parent.inputs.rate}}", day: "${{parent.inputs.day}}"}
    compute: azureml:fixed
airflow: {owner: us, schedule: "@hourly", retries: 3, start_date: 2012-01-01}
"""
INPUTS = "  inputs: {data: {path: ./data}, rate: 1}\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], PipelineSpec]:
    def read(text: str) -> PipelineSpec:
        (tmp_path / "pipelines").mkdir(exist_ok=True)
        (tmp_path / "pipelines/scoring.yml").write_text(PIPELINE)
        (tmp_path / "schedules").mkdir(exist_ok=True)
        (tmp_path / "schedules/nightly.yml").write_text(text)
        return load_pipeline(tmp_path / "schedules/nightly.yml")

    return read


def job(more: str = INPUTS) -> str:
    return "create_job:\n  type: pipeline\n  job: ../pipelines/scoring.yml\n" + more


def test_a_cron_schedule(load: Callable[[str], PipelineSpec], tmp_path: Path) -> None:
    trigger = (
        "trigger: {type: cron, expression: '15 4 * * *', start_time: '2022-07-10T10:00:00', "
        "end_time: '2023-01-01', time_zone: Pacific Standard Time}\n"
    )
    spec = load("name: nightly\ntags: {stage: live}\n" + trigger + job())
    assert (spec.name, spec.description, spec.tags) == ("nightly", "Scores.", {"team": "ml", "stage": "live"})
    assert spec.airflow.schedule == Schedule(expression="15 4 * * *", time_zone="America/Los_Angeles")
    assert spec.airflow.start_date == datetime(2022, 7, 10, 10)  # noqa: DTZ001 - in the schedule's zone
    assert spec.airflow.end_date == datetime(2023, 1, 1)  # noqa: DTZ001 - in the schedule's zone
    assert (spec.airflow.owner, spec.airflow.retries, spec.airflow.dag_id) == ("us", 3, None)
    assert spec.folder == tmp_path / "schedules/../pipelines"
    assert spec.files == {"score": "../pipelines/scoring.yml"}
    [step] = spec.steps
    assert step.inputs["data"] == InputData(path="../schedules/data", parameter="data")
    assert spec.parameters["rate"].default == 1.0
    assert isinstance(spec.parameters["rate"].default, float)
    assert spec.warnings == ()


def test_a_recurrence_with_settings(load: Callable[[str], PipelineSpec]) -> None:
    pattern = "schedule: {hours: [4], minutes: 30, week_days: [monday]}"
    trigger = f"trigger: {{type: recurrence, frequency: week, interval: 1, {pattern}}}\n"
    more = "  settings: {force_rerun: true, default_compute: azureml:cpu}\n  display_name: By night\n"
    spec = load(trigger + job(INPUTS + more))
    assert spec.name == "nightly"
    assert spec.display_name == "By night"
    assert spec.airflow.schedule == Schedule(expression="30 4 * * 1")
    assert [(step.is_deterministic, step.compute) for step in spec.steps] == [(False, "fixed")]


def test_the_short_form_names_the_file_alone(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text("type: pipeline\nname: p\njobs: {a: {command: echo}}\n")
    (tmp_path / "s.yml").write_text("trigger: {type: cron, expression: '@daily'}\ncreate_job: ./p.yml\n")
    spec = load_pipeline(tmp_path / "s.yml")
    assert (spec.name, spec.airflow.schedule) == ("s", Schedule(expression="@daily"))


def test_a_pipeline_that_needs_a_value_gets_it_from_its_schedule(load: Callable[[str], PipelineSpec]) -> None:
    with pytest.raises(SpecError) as caught:
        load("trigger: {type: cron, expression: '@daily'}\n" + job("  inputs: {data: {path: ./d}}\n"))
    [fault] = caught.value.faults
    assert (fault.code, fault.path, Path(fault.file).name) == ("MLP144", "inputs.rate", "scoring.yml")
