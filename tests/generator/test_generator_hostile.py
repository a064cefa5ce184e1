"""Whatever stands in a text field comes out as that text, and the file has the same shape as for harmless text."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlpipe.cli import load_dags
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.generator import Fleet, Loader, Renderer, Target
from airflow_mlpipe.generator.literals import evaluate
from airflow_mlpipe.generator.plan import plan_dag
from airflow_mlpipe.spec.model import AirflowBlock, Parameter, PipelineSpec, StepOptions
from airflow_mlpipe.spec.step import InputData, OutputData, ParallelTask, Step
from tests.generator.hostile import HOSTILE
from tests.generator.specs import pipeline
from tests.generator.test_generator_literals import ruff_format

FOLDER = Path("/repo/pipelines")
OUT = Path("/repo/dags")
RENDERER = Renderer()
NAMES = ("2nd", "lambda", "a.b", "a-b", "a_b", "plan", "DAG", "dag", "Param", "CommandOperator", "__doc__")
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
        *(replaced(step, upstream=(first.name,)) for step in others),
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
    for text in HOSTILE[::4]:
        rendered = RENDERER.render(plan_dag(spec_with(text), OUT))
        assert ruff_format(rendered) == rendered


PIPELINE = """\
type: pipeline
name: hostile_NUMBER
display_name: TEXT
description: TEXT
tags: {key: SHORT, SHORT: value}
inputs:
  word: {type: string, default: TEXT, enum: [TEXT, other], description: TEXT}
jobs:
  first:
    type: command
    display_name: TEXT
    command: COMMAND
    environment: {pip_requirements: [TEXT]}
    environment_variables: {WORD: TEXT}
    inputs: {word: "${{parent.inputs.word}}", literal: TEXT}
    outputs: {out: {type: uri_folder}}
    airflow: {pool: TEXT, queue: TEXT, reuse_version: TEXT}
  second:
    type: parallel
    input_data: ${{inputs.files}}
    inputs: {files: "${{parent.jobs.first.outputs.out}}"}
    task: {type: run_function, code: ./src, entry_script: score.py, program_arguments: COMMAND}
airflow: {owner: OWNER, tags: [SHORT]}
"""


def _pipeline(number: int, text: str) -> str:
    """A pipeline file with the text in every field that may hold any text."""
    spec = PIPELINE.replace("NUMBER", str(number))
    values = {"TEXT": text, "COMMAND": text, "OWNER": text, "SHORT": text[:80]}
    for word, value in values.items():
        escaped = "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in value)
        spec = spec.replace(word, f'"{escaped}"')
    return spec


def _is_refused(text: str) -> bool:
    """Whether the reader of pipelines refuses a text: it looks like an expression, or no process could get it."""
    return "${{" in text or "$[[" in text or "\0" in text


@pytest.mark.airflow
def test_nothing_happens_from_the_yaml_file_to_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, render, write and let Airflow load: every text arrives, and none leaves a trace."""
    marker = tmp_path / "marker"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "score.py").touch()
    texts = {tmp_path / f"h{n}.yml": text.replace("MARKER", str(marker)) for n, text in enumerate(HOSTILE)}
    for number, (spec, text) in enumerate(texts.items()):
        spec.write_text(_pipeline(number, text), encoding="utf-8")
    fleet = Fleet(Target(tmp_path / "dags"))
    with Loader(load_dags.COMMAND, tmp_path / "dags") as loader:
        written = fleet.write(texts, loader)
    refused = {Path(fault.file) for fault in fleet.findings.errors}
    assert refused == {spec for spec, text in texts.items() if _is_refused(text)}
    assert fleet.findings.refused == {}
    assert len(written) == len(texts) - len(refused)
    for path in written:
        text = texts[fleet.findings.made[path]]
        arguments = calls(path.read_text(encoding="utf-8"))["first"]
        assert arguments["inputs"]["literal"] == text
        assert arguments["environment_variables"] == {"WORD": text}
        assert arguments["pool"] == text
    assert len({str(shape(path.read_text(encoding="utf-8"))) for path in written}) == 1
    assert not marker.exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path not in texts) == ["dags", "src"]


def test_the_corpus_is_large() -> None:
    assert len(HOSTILE) >= 80
    assert sum(map(_is_refused, HOSTILE)) < 5


def test_text_that_no_file_can_hold_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="lone surrogate"):
        RENDERER.render(plan_dag(pipeline(FOLDER, description="\ud800"), OUT))


def test_numbers_without_a_literal_are_refused_in_words() -> None:
    step = Step(name="train", command="x", inputs={"lr": float("nan")})
    with pytest.raises(ConfigError, match="finite number"):
        RENDERER.render(plan_dag(pipeline(FOLDER, step), OUT))
