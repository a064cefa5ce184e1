"""Text goes through the spec byte for byte, whatever it looks like."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.model import PipelineSpec

HOSTILE = [
    "O'Brien",
    "C:\\new",
    '"""',
    "{{ ds }}",
    "{% raw %}",
    "line\nbreak",
    "2nd",
    "lambda",
    "a.b",
    "a-b",
    "$(touch x)",
    "`touch x`",
    "${HOME}",
    "; rm -rf /",
    "\u2028\u202e",
    "ünï",
    "tab\t",
    " padded ",
    "null",
    "010",
    "on",
    "#no comment",
    "&a *a !!x",
    "]]",
    "}}",
]
texts = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20).filter(
    lambda text: "${{" not in text and "$[[" not in text
)


def load_with(folder: Path, text: str) -> PipelineSpec:
    quoted = json.dumps(text, ensure_ascii=max(map(ord, text)) < 0x10000)
    path = folder / "hostile.yml"
    path.write_text(
        f"""\
type: pipeline
display_name: {quoted}
description: {quoted}
tags: {{{quoted}: {quoted}}}
inputs:
  p: {{type: string, default: {quoted}, enum: [{quoted}], description: {quoted}}}
jobs:
  first:
    command: {quoted}
    inputs: {{literal: {quoted}, mixed: "${{{{parent.inputs.p}}}}"}}
    environment_variables: {{V: {quoted}}}
    environment: {{pip_requirements: [{quoted}], image: {quoted}}}
    airflow: {{pool: {quoted}, queue: {quoted}, reuse_version: {quoted}}}
  second:
    component: {{type: command, command: echo, inputs: {{x: {{type: string, default: {quoted}}}}}}}
airflow: {{owner: {quoted}, tags: [{quoted}], pool: {quoted}, queue: {quoted}}}
""",
        encoding="utf-8",
    )
    return load_pipeline(path)


def check(spec: PipelineSpec, text: str) -> None:
    first, second = spec.steps
    assert (spec.display_name, spec.description, spec.tags) == (text, text, {text: text})
    parameter = spec.parameters["p"]
    assert (parameter.default, parameter.enum, parameter.description) == (text, (text,), text)
    assert (first.command, first.inputs["literal"], first.environment_variables) == (text, text, {"V": text})
    assert first.environment == {"pip_requirements": [text], "image": text}
    assert first.reuse_version == text
    assert second.inputs == {"x": text}
    options = spec.step_options["first"]
    assert (options.pool, options.queue) == (text, text)
    block = spec.airflow
    assert (block.owner, block.tags, block.pool, block.queue) == (text, (text,), text, text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_survives(tmp_path: Path, text: str) -> None:
    check(load_with(tmp_path, text), text)


@settings(max_examples=40)
@given(text=texts)
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    check(load_with(tmp_path_factory.mktemp("hostile"), text), text)


def test_names_that_look_alike_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "names.yml"
    path.write_text(
        "type: pipeline\njobs:\n"
        "  a.b: {command: echo, outputs: {o: {}}}\n"
        "  a-b: {command: echo, outputs: {o: {}}}\n"
        "  lambda:\n    command: echo\n"
        "    inputs: {class: '${{parent.jobs.a.b.outputs.o}}', x: '${{parent.jobs.a-b.outputs.o}}'}\n"
    )
    spec = load_pipeline(path)
    assert [step.name for step in spec.steps] == ["a.b", "a-b", "lambda"]
    assert spec.steps[2].upstream == ("a.b", "a-b")
