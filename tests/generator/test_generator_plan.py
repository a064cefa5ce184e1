"""What a pipeline becomes: arguments, parameters, paths and edges."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.generator.identity import spec_hash
from airflow_mlpipe.generator.literals import Call
from airflow_mlpipe.generator.paths import Relocation
from airflow_mlpipe.generator.plan import plan_dag
from airflow_mlpipe.generator.scheduling import duration, moment
from airflow_mlpipe.spec.model import AirflowBlock, Parameter, Schedule, StepOptions
from airflow_mlpipe.spec.step import InputData, OutputData, Step
from tests.generator.specs import pipeline

FOLDER = Path("/repo/pipelines")
OUT = Path("/repo/dags")


def steps(*edges: tuple[str, str]) -> list[Step]:
    names = list(dict.fromkeys(name for edge in edges for name in edge))
    before = {name: tuple(first for first, second in edges if second == name) for name in names}
    return [Step(name=name, command="x", upstream=before[name]) for name in names]


def test_the_plan_leads_to_the_first_steps_and_data_to_the_rest() -> None:
    plan = plan_dag(pipeline(FOLDER, *steps(("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("e", "d"))), OUT)
    assert plan.edges == (
        (("plan",), ("a", "e")),
        (("a",), ("b",)),
        (("a",), ("c",)),
        (("b", "c", "e"), ("d",)),
    )


def test_a_step_called_plan_keeps_its_name() -> None:
    plan = plan_dag(pipeline(FOLDER, *steps(("plan", "train"))), OUT)
    assert [(task.variable, task.arguments["task_id"]) for task in plan.tasks] == [
        ("plan", "mlpipe_plan"),
        ("plan_step", "plan"),
        ("train", "train"),
    ]


def test_options_of_a_step_go_before_those_of_the_pipeline() -> None:
    block = AirflowBlock(retries=3, retry_delay=300, pool="cpu", queue="q", owner="me")
    options = {"train": StepOptions(retries=0, pool="gpu")}
    plan = plan_dag(pipeline(FOLDER, airflow=block, step_options=options), OUT)
    ours, train = (dict(task.arguments) for task in plan.tasks)
    assert (train["retries"], train["pool"], train["queue"]) == (0, "gpu", "q")
    assert train["trigger_rule"] == "none_failed"
    assert ours == {"task_id": "plan", "owner": "me", "retries": 3, "retry_delay": duration(300), "queue": "q"}


def test_defaults_are_not_written() -> None:
    plan = plan_dag(pipeline(FOLDER, Step(name="train", command="x")), OUT)
    assert plan.tasks[1].arguments == {"task_id": "train", "command": "x", "trigger_rule": "none_failed"}


def test_an_input_that_is_a_step_output_is_written_as_its_path_alone() -> None:
    path = "${{parent.jobs.a.outputs.x}}"
    step = Step(
        name="b",
        command="x",
        inputs={
            "short": InputData(path=path),
            "long": InputData(path=path, identity="ignore"),
            "folder": InputData(path="./data"),
        },
        outputs={"y": OutputData(optional=True)},
    )
    arguments = plan_dag(pipeline(FOLDER, step), OUT).tasks[1].arguments
    assert arguments["inputs"] == {
        "short": path,
        "long": {"path": path, "identity": "ignore"},
        "folder": {"path": "../pipelines/data"},
    }
    assert arguments["outputs"] == {"y": {"type": "uri_folder", "optional": True}}


@pytest.mark.parametrize(
    ("written", "moved"),
    [
        ("src", "../pipelines/src"),
        ("./src/", "../pipelines/src/"),
        (".", "../pipelines"),
        ("../dags/src", "src"),
        ("/data", "/data"),
        ("azureml:flights@latest", "azureml:flights@latest"),
        ("azureml://datastores/landing/paths/x", "azureml://datastores/landing/paths/x"),
        ("https://example.org/x", "https://example.org/x"),
        ("${{parent.jobs.a.outputs.b}}", "${{parent.jobs.a.outputs.b}}"),
    ],
)
def test_paths_are_moved_to_the_folder_of_the_dag(written: str, moved: str) -> None:
    assert Relocation(FOLDER, OUT).relocate(written) == moved


def test_paths_leave_the_folder_that_a_link_points_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere/deep/dags").mkdir(parents=True)
    (tmp_path / "repo/src").mkdir(parents=True)
    (tmp_path / "repo/dags").symlink_to(tmp_path / "elsewhere/deep/dags")
    moved = Relocation(tmp_path / "repo", tmp_path / "repo/dags").relocate("src")
    assert (tmp_path / "repo/dags" / moved).is_dir()


def test_environment_files_are_moved_and_definitions_are_not() -> None:
    move = Relocation(FOLDER, OUT)
    assert move.environment({"conda_file": "e.yml", "image": "x"}) == {"conda_file": "../pipelines/e.yml", "image": "x"}
    assert move.environment({"pip_requirements": ["numpy"]}) == {"pip_requirements": ["numpy"]}
    assert move.environment("flights") == "flights"


def test_dates_stand_in_the_zone_of_the_schedule() -> None:
    zone = "America/New_York"
    assert moment(datetime.fromisoformat("2013-02-01"), zone) == Call("pendulum.datetime", (2013, 2, 1), {"tz": zone})
    aware = datetime(2013, 2, 1, 5, 30, tzinfo=timezone.utc)
    assert moment(aware, zone) == Call("pendulum.datetime", (2013, 2, 1, 0, 30), {"tz": zone})
    assert moment(datetime.fromisoformat("2013-02-01T00:00:07"), "UTC").args == (2013, 2, 1, 0, 0, 7)


@pytest.mark.parametrize("seconds", [0, 0.5, 1, 59, 60, 90, 3600, 5400, 86400, 604800, 90061.25])
def test_durations_keep_their_length(seconds: float) -> None:
    assert timedelta(**duration(seconds).kwargs).total_seconds() == seconds


def test_a_schedule_without_a_start_date_still_has_its_time_zone() -> None:
    schedule = Schedule(expression="@daily", time_zone="Europe/Berlin")
    arguments = plan_dag(pipeline(FOLDER, airflow=AirflowBlock(schedule=schedule)), OUT).arguments
    assert arguments["schedule"] == "@daily"
    assert arguments["start_date"] == Call("pendulum.datetime", (2000, 1, 1), {"tz": "Europe/Berlin"})


def test_parameters_become_typed_params() -> None:
    parameters = {
        "needed": Parameter(type="integer", min=1),
        "lr": Parameter(type="number", default=0.1, max=1, description="Learning rate."),
        "month": Parameter(type="string", default="${{airflow.ds}}"),
        "kind": Parameter(type="string", optional=True, enum=("a", "b")),
    }
    params = plan_dag(pipeline(FOLDER, parameters=parameters), OUT).params
    assert params["needed"] == Call("Param", (), {"type": "integer", "minimum": 1})
    assert params["lr"] == Call("Param", (0.1,), {"type": "number", "maximum": 1, "description": "Learning rate."})
    assert params["month"].args == (None,)
    assert params["month"].kwargs["mlpipe_default"] == "${{airflow.ds}}"
    assert params["month"].kwargs["description"] == "Empty: ${{airflow.ds}} of the run."
    assert params["kind"].kwargs["enum"] == ["a", "b", None]
    assert list(params)[-2:] == ["reuse", "reuse_steps"]


def test_the_hash_is_of_the_content() -> None:
    spec = pipeline(FOLDER)
    moved = replaced(spec, lines={"train": 99}, source=Path("elsewhere.yml"))
    other = replaced(spec, description="other")
    assert spec_hash(moved) == spec_hash(spec)
    assert spec_hash(other) != spec_hash(spec)


def test_a_data_input_of_the_pipeline_is_a_parameter_that_takes_no_path_of_a_machine() -> None:
    import jsonschema

    from airflow_mlpipe.generator.parameters import run_params
    from airflow_mlpipe.spec import load_pipeline

    spec = load_pipeline(Path(__file__).parent / "pipelines/nested/pipeline.yml")
    params = run_params(spec)
    assert list(params) == ["rounds", "east", "west", "reuse", "reuse_steps"]
    schema = {key: value for key, value in params["east"].kwargs.items() if key != "description"}
    assert schema["mlpipe_data"] is True
    for good in (None, "azureml://datastores/landing/paths/north", "azureml:flights:3", "azureml:flights@latest"):
        jsonschema.validate(good, schema)
    for bad in ("/etc", "../data", "./data", "file:///etc", "", 7):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
