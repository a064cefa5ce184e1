"""The constructor side: what is accepted, what is refused, and what Airflow does to operators."""

from __future__ import annotations

import copy
import json
import shlex
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.serialization.serialized_objects import DagSerialization
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.operators import (
    CommandOperator,
    DataTransferOperator,
    ParallelRunOperator,
    PlanOperator,
    PythonScriptOperator,
    ScoreOperator,
    TrainOperator,
)
from airflow_mlpipe.operators.python_script import script_command
from airflow_mlpipe.spec.step import OutputData

pytestmark = pytest.mark.airflow

HOSTILE = ["O'Brien", "C:\\new", '"""', "{{ ds }}", "a\nb", "2nd", "lambda", "$(touch x)", "`id`", "%s", "\u2028"]


def test_arguments_become_the_step() -> None:
    operator = CommandOperator(
        task_id="train",
        command="python t.py --f ${{inputs.f}} --lr ${{inputs.lr}} $[[--extra ${{inputs.extra}}]] --m ${{outputs.m}}",
        code="src",
        inputs={
            "f": {"path": "azureml:features@latest"},
            "lr": "${{parent.inputs.lr}}",
            "extra": {"path": "x", "optional": True},
        },
        outputs={"m": {"type": "custom_model", "name": "delays"}},
        environment={"pip_requirements": ["numpy"]},
        environment_variables={"A": "b"},
        compute="gpu",
        timeout=60,
    )
    step = operator.step
    assert (step.name, step.type, step.code, step.compute, step.timeout) == ("train", "command", "src", "gpu", 60)
    assert step.inputs["lr"] == "${{parent.inputs.lr}}"
    assert step.inputs["f"].path == "azureml:features@latest"  # type: ignore[union-attr]
    assert step.outputs["m"].name == "delays"
    assert step.environment_variables == {"A": "b"}
    assert operator.deferrable
    assert operator.trigger_rule == "none_failed"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inputs": {"f": {"path": "x", "mod": "download"}}}, "inputs.f: unknown key 'mod'. Did you mean 'mode'?"),
        ({"inputs": {"f": {}}}, "inputs.f.path: this key is missing"),
        ({"inputs": {"2nd": 1}}, "2nd"),
        ({"outputs": {"m": {"nam": "x"}}}, "unknown key 'nam'. Did you mean 'name'?"),
        (
            {"command": "run ${{inputs.feature}}", "inputs": {"features": 1}},
            "no input 'feature'. Did you mean 'features'?",
        ),
        ({"command": "run ${{outputs.m}}"}, "no output 'm'. There is none."),
        ({"command": "run ${{airflow.data_interval_begin}}"}, "data_interval_begin"),
        ({"inputs": {"x": "${{parent.input.x}}"}}, "is not an expression"),
        ({"inputs": {"x": "a ${{parent.jobs.a.outputs.b}}"}}, "is data and must stand alone"),
        ({"inputs": {"x": "${{inputs.y}}"}}, "has no meaning in an input"),
        ({"timeout": -1}, "timeout"),
    ],
)
def test_mistakes_are_named_when_the_file_is_read(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        CommandOperator(**{"task_id": "train", "command": "true", **fields})
    assert message in str(error.value)
    assert str(error.value).startswith("Step train:")


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="comand"):
        CommandOperator(task_id="a", command="true", comand="x")


def test_an_output_given_as_an_input_orders_the_steps(project: Any) -> None:
    with project.dag():
        prepare = CommandOperator(task_id="prepare", command="true", outputs={"o": {"type": "uri_file"}})
        by_object = CommandOperator(task_id="a", command="true", inputs={"i": prepare.outputs["o"]})
        by_key = CommandOperator(
            task_id="b", command="true", inputs={"i": {"path": prepare.outputs["o"], "identity": "ignore"}}
        )
        by_text = CommandOperator(task_id="c", command="true", inputs={"i": "${{parent.jobs.prepare.outputs.o}}"})
    for operator in (by_object, by_key, by_text):
        assert operator.upstream_task_ids == {"prepare"}
        assert operator.step.upstream == ("prepare",)
        assert operator.step.inputs["i"].path == "${{parent.jobs.prepare.outputs.o}}"  # type: ignore[union-attr]
    assert by_object.step.inputs["i"].type == "uri_file"  # type: ignore[union-attr]
    assert by_key.step.inputs["i"].identity == "ignore"  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="no output 'p'"):
        prepare.outputs["p"]


def test_a_step_that_reads_a_later_one_is_refused(project: Any) -> None:
    with project.dag():
        reader = CommandOperator(task_id="a", command="true", inputs={"i": "${{parent.jobs.b.outputs.o}}"})
        writer = CommandOperator(task_id="b", command="true", outputs={"o": {}})
    with pytest.raises(ConfigError, match=r"no step 'b' comes before this one.*b >> a"):
        _ = reader.step
    writer >> reader
    assert reader.step.upstream == ("b",)


def test_steps_before_are_found_through_other_tasks(project: Any) -> None:
    class Other(BaseOperator):
        pass

    with project.dag():
        first = CommandOperator(task_id="first", command="true")
        last = CommandOperator(task_id="last", command="true")
        PlanOperator(task_id="plan") >> first >> Other(task_id="other") >> last
    assert first.step.upstream == ()
    assert last.step.upstream == ("first",)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_a_template(text: str) -> None:
    operator = CommandOperator(
        task_id="a", command=f"echo {text}", inputs={"x": text}, environment_variables={"X": text}
    )
    operator.render_template_fields({"ds": "2013-02-01"})
    assert operator.step.command == f"echo {text}"
    assert operator.step.inputs["x"] == text
    assert operator.step.environment_variables["X"] == text


def test_default_args_reach_every_argument(project: Any) -> None:
    defaults = {"deferrable": False, "compute": "gpu", "mlpipe_conn_id": "other", "poll_interval": 1.0, "retries": 4}
    with project.dag(default_args=defaults):
        operator = CommandOperator(task_id="a", command="true")
    assert (operator.deferrable, operator.step.compute, operator.mlpipe_conn_id) == (False, "gpu", "other")
    assert (operator.poll_interval, operator.retries) == (1.0, 4)


def test_mapping_is_refused_with_another_way() -> None:
    with pytest.raises(ConfigError, match="Python loop"):
        CommandOperator.partial(task_id="a")


def test_operators_survive_copying_and_serialization(project: Any) -> None:
    def build() -> Any:
        with project.dag() as dag:
            a = CommandOperator(task_id="a", command="true", outputs={"o": {}})
            b = TrainOperator(task_id="b", script_name="t.py", model_name="m", inputs={"i": a.outputs["o"]})
            PlanOperator(task_id="plan") >> a
            b.set_upstream(a)
        return dag

    dag = build()
    duplicate = copy.deepcopy(dag)
    assert duplicate.task_dict["b"].step == dag.task_dict["b"].step
    first, second = (json.dumps(DagSerialization.to_dict(item), sort_keys=True) for item in (dag, build()))
    assert first == second
    assert " at 0x" not in first


def test_train_declares_its_model() -> None:
    train = TrainOperator(task_id="t", script_name="t.py", arguments=["--m", "${{outputs.model}}"], model_name="delays")
    assert train.step.outputs["model"] == OutputData(type="custom_model", name="delays")
    assert train.step.command == "python t.py --m ${{outputs.model}}"


def test_score_wires_model_data_and_predictions() -> None:
    score = ScoreOperator(
        task_id="s",
        entry_script="score.py",
        model="azureml:delays@latest",
        data={"path": "azureml://datastores/landing/paths/raw"},
        mini_batches={"mini_batch_size": 3, "error_threshold": 0},
    )
    assert score.step.parallel is not None
    assert (score.step.parallel.input, score.step.parallel.append_row_to) == ("data", "predictions")
    assert score.step.parallel.mini_batch_size == 3
    assert score.step.inputs["model"].type == "custom_model"  # type: ignore[union-attr]


def test_parallel_ports_must_exist() -> None:
    with pytest.raises(ConfigError, match=r"parallel: there is no input 'file'. Did you mean 'files'"):
        ParallelRunOperator(
            task_id="p", parallel={"entry_script": "s.py", "input": "file"}, inputs={"files": {"path": "x"}}
        )


def test_a_transfer_takes_nothing_that_only_jobs_need() -> None:
    with pytest.raises(ConfigError, match="has no code, compute"):
        DataTransferOperator(task_id="t", code="src", compute="gpu", inputs={"i": {"path": "x"}}, outputs={"o": {}})
    with pytest.raises(ConfigError, match="copy_mode"):
        DataTransferOperator(task_id="t", copy_mode="merge", inputs={"i": {"path": "x"}}, outputs={"o": {}})


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), max_size=4))
def test_each_argument_is_one_word_for_the_shell(words: list[str]) -> None:
    plain = [word for word in words if "${{" not in word and "$[[" not in word]
    assert shlex.split(script_command("s.py", plain)) == ["python", "s.py", *plain]


def test_placeholders_stand_inside_arguments() -> None:
    command = script_command(
        "my script.py", ["--in=${{inputs.a}}", "it's ${{inputs.b}}", True, 0.5, "$[[--x ${{inputs.c}}]]"]
    )
    assert command == (
        "python 'my script.py' --in=${{inputs.a}} 'it'\"'\"'s '${{inputs.b}} true 0.5 $[[--x ${{inputs.c}}]]"
    )
    with pytest.raises(ConfigError, match="list of words"):
        script_command("s.py", "--a b")
    with pytest.raises(ConfigError, match="is a dict"):
        PythonScriptOperator(task_id="a", script_name="s.py", arguments=[{}])
