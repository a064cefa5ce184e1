from __future__ import annotations

from datetime import datetime
from pathlib import Path

import jsonschema
import pytest

from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec import json_schema, load_pipeline
from airflow_mlpipe.spec.diagnostics import Faults
from airflow_mlpipe.spec.model import Parameter, PipelineSpec, Schedule, StepOptions
from airflow_mlpipe.spec.reader import read_document
from airflow_mlpipe.spec.step import InputData, OutputData, ParallelTask, Partitions

GOOD = Path(__file__).parent / "good"
FILES = sorted(path for path in GOOD.glob("*.yml") if path.name != "environment.yml")


@pytest.fixture(scope="module")
def flights() -> PipelineSpec:
    return load_pipeline(GOOD / "flight_delays.yml")


def test_the_head(flights: PipelineSpec) -> None:
    assert flights.name == "flight_delays"
    assert flights.folder == GOOD
    assert flights.description.startswith("Predict late arrivals")
    assert flights.tags == {"team": "ml", "release": "1.10"}
    assert flights.warnings == ()
    assert flights.parameters == {
        "delay_minutes": Parameter(type="integer", default=15, min=1, max=240),
        "learning_rate": Parameter(type="number", default=0.1),
        "month": Parameter(type="string", default="2013-02-01"),
    }


def test_the_airflow_block(flights: PipelineSpec) -> None:
    block = flights.airflow
    assert block.schedule == Schedule(expression="0 6 1 * *", time_zone="America/New_York")
    assert block.start_date == datetime(2013, 2, 1)  # noqa: DTZ001 - in the schedule's zone
    assert (block.catchup, block.max_active_runs, block.template) == (True, 1, "retraining")
    assert (block.owner, block.tags, block.retries, block.retry_delay) == ("ml-platform", ("flights",), 3, 60)


def test_steps_are_in_topological_order_with_their_lines(flights: PipelineSpec) -> None:
    assert [step.name for step in flights.steps] == ["ingest", "prepare", "train", "report", "score"]
    assert [step.upstream for step in flights.steps] == [(), ("ingest",), ("prepare",), ("train",), ("train", "report")]
    text = (GOOD / "flight_delays.yml").read_text().splitlines()
    for name, line in flights.lines.items():
        assert text[line - 1].startswith(f"  {name}:")
    assert list(flights.step_options) == [step.name for step in flights.steps]


def test_a_data_transfer(flights: PipelineSpec) -> None:
    step = flights.steps[0]
    assert (step.type, step.copy_mode, step.compute) == ("data_transfer", "fail_if_conflict", "local")
    assert step.inputs == {
        "flights": InputData(type="uri_folder", path="azureml://datastores/landing/paths/flights", parameter="raw"),
        "weather": InputData(type="uri_file", path="./data/weather.csv", mode="download", parameter="weather"),
    }
    assert step.outputs == {"landed": OutputData(type="uri_folder")}


def test_a_command(flights: PipelineSpec) -> None:
    step = flights.steps[1]
    assert (step.code, step.additional_includes, step.timeout) == ("./src", ("./lib",), 3600)
    assert step.command == (
        "python prepare.py --raw ${{inputs.raw}} --month ${{inputs.month}} --delay ${{inputs.delay}} "
        "--out ${{outputs.features}}"
    )
    assert step.environment == {"conda_file": "./environment.yml"}
    assert step.environment_variables == {"OMP_NUM_THREADS": "2", "VERSION": "1.10", "ON": "on"}
    assert step.inputs == {
        "raw": InputData(path="${{parent.jobs.ingest.outputs.landed}}"),
        "delay": "${{parent.inputs.delay_minutes}}",
        "month": "${{airflow.ts}}",
        "label": "run ${{airflow.run_id}} of ${{parent.inputs.month}}",
    }


def test_a_component_is_inlined_and_typed(flights: PipelineSpec) -> None:
    step = flights.steps[2]
    assert (step.code, step.additional_includes, step.compute) == ("./src", ("./components/shared",), "gpu-box")
    assert step.environment == {"conda_file": "./environment.yml"}
    assert step.inputs == {
        "features": InputData(path="${{parent.jobs.prepare.outputs.features}}"),
        "lr": "${{parent.inputs.learning_rate}}",
        "rounds": 20.0,
        "tag": "1.10",
        "verbose": False,
        "note": None,
        "warm_start": None,
    }
    assert isinstance(step.inputs["rounds"], float)
    assert step.outputs == {"model": OutputData(type="mlflow_model", name="flight-delays")}
    assert step.reuse_version == "2"
    options = StepOptions(retries=2, retry_delay=300, pool="gpu", execution_timeout=5400)
    assert replaced(flights.step_options["train"], display_name="", documentation="") == options


def test_what_people_write_about_a_component_is_shown_with_the_task(flights: PipelineSpec) -> None:
    options = flights.step_options["train"]
    assert (options.display_name, options.documentation) == ("Train", "Component train, version 1.")


def test_optional_and_ignored_inputs(flights: PipelineSpec) -> None:
    step = flights.steps[3]
    assert step.inputs["old"] == InputData(
        type="mlflow_model", path="azureml:flight-delays@latest", optional=True, identity="ignore", parameter="best"
    )
    assert step.outputs == {"page": OutputData(type="uri_file", optional=True), "audit": OutputData(type="uri_folder")}
    assert step.environment == "reporting"
    assert step.is_deterministic is False


def test_a_parallel_step_takes_the_job_before_the_component(flights: PipelineSpec) -> None:
    step = flights.steps[4]
    assert step.parallel == ParallelTask(
        entry_script="score.py",
        input="data",
        mini_batch_size=5,
        program_arguments="--model ${{inputs.model}}",
        append_row_to="rows",
        max_concurrency=2,
        max_retries=1,
        timeout=30,
        error_threshold=5,
        mini_batch_error_threshold=1,
    )
    data = step.inputs["data"]
    assert isinstance(data, InputData)
    assert data.partitions == Partitions(files="flights-%Y-%m.csv", anchor="${{parent.inputs.month}}", ahead=1)
    assert step.inputs["model"] == InputData(
        type="mlflow_model", path="${{parent.jobs.train.outputs.model}}", mode="download"
    )
    assert step.outputs == {"rows": OutputData(type="uri_folder", mode="upload", name="flight-scores")}
    assert flights.step_options["score"].run_after == ("report",)


def test_a_component_in_place_and_azures_long_reference() -> None:
    spec = load_pipeline(GOOD / "azure_example.yml")
    assert spec.name == "3b_pipeline_with_data"
    first, second = spec.steps
    assert first.inputs == {"component_a_input": InputData(path="./data")}
    assert first.environment == {"image": "python"}
    assert (first.code, first.compute) == ("./src", "cpu-cluster")
    assert second.inputs == {
        "left_out": InputData(
            path="${{parent.jobs.component_a.outputs.component_a_output}}", mode="ro_mount", optional=True
        )
    }
    assert second.outputs == {"final": OutputData(mode="rw_mount")}


def test_a_weekly_recurrence_is_cron() -> None:
    spec = load_pipeline(GOOD / "recurring.yml")
    assert spec.airflow.schedule == Schedule(expression="30 6,18 * * 1,5", time_zone="Europe/Berlin")
    assert [step.name for step in spec.steps] == ["a.b", "a-b", "_c"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_good_files_pass_the_schema(path: Path) -> None:
    document = read_document(path, path.name, Faults())
    assert document is not None
    jsonschema.Draft202012Validator(json_schema()).validate(document.data)


def test_paths_do_not_depend_on_where_one_stands(monkeypatch: pytest.MonkeyPatch, flights: PipelineSpec) -> None:
    monkeypatch.chdir(GOOD.parent)
    assert load_pipeline("good/flight_delays.yml").steps == flights.steps
    monkeypatch.chdir(GOOD)
    assert load_pipeline("flight_delays.yml").steps == flights.steps
