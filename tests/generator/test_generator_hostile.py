"""Whatever stands in a text field comes out as that text, and the file has the same shape as for harmless text."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.generator import Renderer
from airflow_mlpipe.generator.literals import evaluate
from airflow_mlpipe.generator.plan import plan_dag
from airflow_mlpipe.spec.model import AirflowBlock, Parameter, PipelineSpec, StepOptions
from airflow_mlpipe.spec.step import InputData, OutputData, ParallelTask, Step
from tests.generator.specs import pipeline
from tests.generator.test_generator_literals import ruff_format

FOLDER = Path("/repo/pipelines")
OUT = Path("/repo/dags")
RENDERER = Renderer()
NAMES = ("2nd", "lambda", "a.b", "a-b", "a_b", "plan", "DAG", "dag", "Param", "CommandOperator", "__doc__")
HOSTILE = (
    "O'Brien",
    "C:\\new\\table",
    '"""',
    "'''\"\"\"\\",
    "{{ ds }}",
    "{% raw %}{# #}",
    "line\nimport os",
    "\r\n\f\v\x00\x1b[31m",
    "2nd",
    "lambda",
    "$(touch x)",
    "`touch x`",
    "# -*- coding: utf-7 -*-",
    "# fmt: off",
    "${{ parent.inputs.x",
    "\u202eevil\u2028\u2029\ufeff",
    "Zürich 東京",
    " \t ",
    "\\",
    "x" * 200,
    "train.sh",
)
TEXT = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def spec_with(text: str) -> PipelineSpec:
    """A pipeline with this text wherever text may stand."""
    first, *others = (
        Step(
            name=name,
            type="parallel" if name == "2nd" else "command",
            command=text,
            code="./src",
            additional_includes=("../shared",),
            inputs={"x": text, "data": InputData(path="${{parent.jobs.a.outputs.b}}")},
            outputs={"out": OutputData(name=text)},
            environment={"conda_file": {"dependencies": [text]}, text: text},
            environment_variables={text: text},
            compute=text,
            parallel=ParallelTask(entry_script=text, input="data", program_arguments=text),
            reuse_version=text,
        )
        for name in NAMES
    )
    return pipeline(
        FOLDER,
        first,
        *(step.model_copy(update={"upstream": (first.name,)}) for step in others),
        source=FOLDER / ("".join(character for character in text if character not in "/\x00")[:60] + ".yml"),
        display_name=text,
        description=text,
        tags={text: text},
        parameters={text: Parameter(type="string", default=text, enum=(text,), description=text)},
        step_options={first.name: StepOptions(pool=text, queue=text)},
        airflow=AirflowBlock(owner=text, tags=(text,), pool=text, queue=text),
    )


def calls(text: str) -> dict[str, dict[str, Any]]:
    """Task id to the arguments of its call, as Python would see them."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Operator"):
            arguments = {str(keyword.arg): evaluate(keyword.value) for keyword in node.keywords}
            found[arguments["task_id"]] = arguments
    return found


def shape(text: str) -> list[tuple[str, ...]]:
    """The syntax tree without its names and constants."""
    return [tuple(type(child).__name__ for child in ast.walk(statement)) for statement in ast.parse(text).body]


def check(text: str) -> None:
    rendered = RENDERER.render(plan_dag(spec_with(text), OUT))
    written = calls(rendered)
    assert sorted(written) == sorted([*NAMES, "mlpipe_plan"])
    for name in NAMES:
        arguments = written[name]
        assert arguments["command"] == text or not text
        assert arguments["inputs"]["x"] == text
        assert arguments["outputs"]["out"] == {"type": "uri_folder", "name": text}
        assert arguments["environment"] == {"conda_file": {"dependencies": [text]}, text: text}
        assert arguments["environment_variables"] == {text: text}
        assert arguments.get("compute", text) == text
        assert arguments["parallel"]["entry_script"] == text
        assert arguments["code"] == "../pipelines/src"
    assert _dag(rendered)["description" if text else "dag_id"] == (text or "flights")


def _dag(rendered: str) -> dict[str, Any]:
    [block] = [node for node in ast.parse(rendered).body if isinstance(node, ast.With)]
    call = block.items[0].context_expr
    assert isinstance(call, ast.Call)
    return {str(keyword.arg): evaluate(keyword.value) for keyword in call.keywords if keyword.arg != "doc_md"}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_comes_out_as_it_went_in(text: str) -> None:
    check(text)


@settings(deadline=None, max_examples=40)
@given(TEXT)
def test_any_text_comes_out_as_it_went_in(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_shape_of_the_file_does_not_depend_on_the_text(text: str) -> None:
    harmless = RENDERER.render(plan_dag(spec_with("harmless"), OUT))
    assert shape(RENDERER.render(plan_dag(spec_with(text), OUT))) == shape(harmless)


def test_the_formatter_leaves_hostile_files_alone() -> None:
    for text in HOSTILE:
        rendered = RENDERER.render(plan_dag(spec_with(text), OUT))
        assert ruff_format(rendered) == rendered


def test_text_that_no_file_can_hold_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="lone surrogate"):
        RENDERER.render(plan_dag(pipeline(FOLDER, description="\ud800"), OUT))


def test_numbers_without_a_literal_are_refused_in_words() -> None:
    step = Step(name="train", command="x", inputs={"lr": float("nan")})
    with pytest.raises(ConfigError, match="finite number"):
        RENDERER.render(plan_dag(pipeline(FOLDER, step), OUT))
