from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlpipe.errors import MLPipeError, SpecError
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.step import InputData

JOB = "jobs:\n  a: {command: echo}\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., PipelineSpec]:
    def build(text: str, name: str = "p.yml") -> PipelineSpec:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return load_pipeline(path)

    return build


def warnings(spec: PipelineSpec) -> list[str]:
    return [f"{fault.line}:{fault.column} {fault.code} {fault.path}" for fault in spec.warnings]


@pytest.mark.parametrize(
    ("head", "file", "name"),
    [
        ("name: n\ndisplay_name: d\nairflow: {dag_id: i}\n", "p.yml", "i"),
        ("name: n\ndisplay_name: d\n", "p.yml", "n"),
        ("display_name: d.e-f\n", "p.yml", "d.e-f"),
        ("display_name: Flight delays\n", "p.yml", "p"),
        ("display_name: 3b_pipeline\n", "p.yml", "3b_pipeline"),
        ("", "flights/pipeline.yml", "flights"),
        ("", "flights/nightly.yaml", "nightly"),
    ],
)
def test_the_name_of_a_pipeline(load: Callable[..., PipelineSpec], head: str, file: str, name: str) -> None:
    assert load(f"type: pipeline\n{head}{JOB}", file).name == name


def test_a_file_name_that_is_no_dag_id(load: Callable[..., PipelineSpec]) -> None:
    with pytest.raises(
        SpecError, match=r"1:1 error MLP030  '2nd run' cannot be the name of a pipeline.*Write a 'name:'"
    ):
        load(f"type: pipeline\n{JOB}", "2nd run.yml")


def test_what_azure_knows_and_we_do_not_use_is_named(load: Callable[..., PipelineSpec]) -> None:
    spec = load(
        "type: pipeline\n"
        "experiment_name: e\n"
        "settings: {default_datastore: azureml:other, continue_on_step_failure: false}\n"
        "inputs: {n: 5}\n"
        "jobs:\n"
        "  a:\n"
        "    command: echo\n"
        "    display_name: A\n"
        "    identity: {type: managed}\n"
        "    environment: azureml:sklearn:3\n"
        "    outputs: {o: {}}\n"
        "    resources: {shm_size: 2g}\n"
        "    airflow: {optional_outputs: [o]}\n"
        "  b:\n"
        "    inputs: {x: '${{parent.inputs.n}}', o: '${{parent.jobs.a.outputs.o}}'}\n"
        "    component: {type: command, command: echo, inputs: {x: {type: boolean}, o: {type: uri_folder}}}\n"
    )
    assert warnings(spec) == [
        "2:1 MLP201 experiment_name",
        "3:31 MLP202 settings.default_datastore",
        "3:72 MLP205 settings.continue_on_step_failure",
        "9:5 MLP201 jobs.a.identity",
        "10:18 MLP203 jobs.a.environment",
        "12:17 MLP201 jobs.a.resources.shm_size",
        "15:17 MLP204 jobs.b.inputs.x",
        "15:44 MLP206 jobs.b.inputs.o",
    ]
    assert spec.steps[0].environment == "sklearn"


def test_force_rerun_makes_every_step_run(load: Callable[..., PipelineSpec]) -> None:
    spec = load(f"type: pipeline\nsettings: {{force_rerun: true}}\n{JOB}")
    assert [step.is_deterministic for step in spec.steps] == [False]
    assert warnings(spec) == []


def test_allow_reuse_false_is_not_deterministic(load: Callable[..., PipelineSpec]) -> None:
    spec = load("type: pipeline\njobs:\n  a: {command: echo, airflow: {allow_reuse: false}}\n  b: {command: echo}\n")
    assert [step.is_deterministic for step in spec.steps] == [False, True]


def test_compute_of_the_job_before_that_of_the_pipeline(load: Callable[..., PipelineSpec]) -> None:
    spec = load("type: pipeline\ncompute: azureml:big\njobs:\n  a: {command: x, compute: small}\n  b: {command: x}\n")
    assert [step.compute for step in spec.steps] == ["small", "big"]
    assert load(f"type: pipeline\n{JOB}").steps[0].compute is None


def test_identity_does_not_depend_on_how_a_number_was_typed(load: Callable[..., PipelineSpec]) -> None:
    text = (
        "type: pipeline\njobs:\n  a:\n"
        "    component: {{type: command, command: x, inputs: {{n: {{type: number}}}}}}\n"
        "    inputs: {{n: {}}}\n"
    )
    values = [load(text.format(number)).steps[0].inputs["n"] for number in ("1", "1.0", "1e0", "'1'")]
    assert values == [1.0] * 4
    assert {type(value) for value in values} == {float}


def test_a_path_is_the_same_however_it_is_written(load: Callable[..., PipelineSpec]) -> None:
    text = (
        "type: pipeline\ninputs: {{d: {{path: {}}}}}\n"
        "jobs:\n  a: {{command: x, inputs: {{d: '${{{{parent.inputs.d}}}}'}}}}\n"
    )
    inputs = [load(text.format(path)).steps[0].inputs["d"] for path in ("d/x", "./d/x", "./d/./x/", "d/y/../x")]
    found = {value.path for value in inputs if isinstance(value, InputData)}
    assert found == {"./d/x"}


def test_a_component_file_is_read_relative_to_itself(load: Callable[..., PipelineSpec], tmp_path: Path) -> None:
    (tmp_path / "shared" / "code").mkdir(parents=True)
    (tmp_path / "shared" / "env.txt").write_text("pandas\n")
    (tmp_path / "shared" / "c.yml").write_text(
        "type: command\ncommand: ls\ncode: code\nenvironment: {pip_requirements: env.txt}\nadditional_includes: [.]\n"
    )
    step = load("type: pipeline\njobs: {a: {component: ../shared/c.yml}}\n", "flights/pipeline.yml").steps[0]
    assert (step.code, step.additional_includes) == ("../shared/code", ("../shared",))
    assert step.environment == {"pip_requirements": "../shared/env.txt"}


def test_faults_of_a_component_name_its_file_once(load: Callable[..., PipelineSpec], tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("type: command\ncommand: ls ${{inputs.x}}\n")
    with pytest.raises(SpecError) as caught:
        load("type: pipeline\njobs: {a: {component: c.yml}, b: {component: ./c.yml}}\n")
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'c.yml'}:2:10 error MLP113  command: '${{{{inputs.x}}}}' names no input of this job. Known: none."
    ]


def test_long_lists_of_names_are_cut(load: Callable[..., PipelineSpec]) -> None:
    jobs = "".join(f"  job{number:03}: {{command: x}}\n" for number in range(200))
    with pytest.raises(SpecError, match=r"there is no job 'zzz'. Known: 'a', 'job000', .*'job018' and 181 more\.$"):
        load(f"type: pipeline\njobs:\n{jobs}  a: {{command: x, airflow: {{run_after: [zzz]}}}}\n")


def test_a_spec_error_is_an_error_of_ours_with_faults(load: Callable[..., PipelineSpec]) -> None:
    with pytest.raises(MLPipeError) as caught:
        load("type: pipeline\n")
    assert isinstance(caught.value, SpecError)
    assert len(caught.value.faults) == 1


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, airflow_mlpipe.spec, airflow_mlpipe.spec.expressions as e; "
        "assert not {'pydantic', 'yaml', 'airflow'} & set(sys.modules); e.parse('${{inputs.x}}'); "
        "import airflow_mlpipe.spec.step; assert 'yaml' not in sys.modules; "
        "import airflow_mlpipe.spec.loading; "
        "assert not {'airflow', 'jinja2', 'pendulum', 'croniter', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
