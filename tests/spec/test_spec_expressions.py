from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.spec.expressions import (
    RUN_FIELDS,
    InputRef,
    OptionalPart,
    OutputPortRef,
    OutputRef,
    ParameterRef,
    PipelineOutputRef,
    RunFieldRef,
    parse,
    parse_command,
    unparse,
)

ports = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
jobs = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,12}", fullmatch=True)
references = st.one_of(
    st.builds(ParameterRef, ports),
    st.builds(OutputRef, jobs, ports),
    st.builds(PipelineOutputRef, ports),
    st.builds(RunFieldRef, st.sampled_from(sorted(RUN_FIELDS))),
    st.builds(InputRef, ports),
    st.builds(OutputPortRef, ports),
)
literals = st.text(max_size=30).filter(lambda text: "${{" not in text and "$[[" not in text)
hostile = [
    "O'Brien",
    "C:\\new",
    '"""',
    "{{ ds }}",
    "a\nb",
    "2nd",
    "lambda",
    "$(touch x)",
    "`id`",
    "}}",
    "{{",
    "$[",
    "]]",
    "${x}",
]


def joined(parts: list[object]) -> list[object]:
    """Neighbouring literals are one."""
    result: list[object] = []
    for part in parts:
        if isinstance(part, str) and result and isinstance(result[-1], str):
            result[-1] += part
        elif part != "":
            result.append(part)
    return result


@given(st.lists(st.one_of(references, literals), max_size=8))
def test_what_is_printed_is_parsed_back(parts: list[object]) -> None:
    parts = joined(parts)
    text = unparse(parts)
    if any(isinstance(part, str) and "$" in part for part in parts):
        return  # a literal '$' before a reference may begin another one
    assert parse(text) == tuple(parts)
    assert unparse(parse(text)) == text


@given(literals)
def test_a_text_without_expressions_stays_as_it_is(text: str) -> None:
    assert parse(text) == ((text,) if text else ())
    assert "".join(map(str, parse_command(text))) == text


@pytest.mark.parametrize("text", hostile)
def test_hostile_text_is_literal(text: str) -> None:
    assert parse(text) == (text,)
    assert parse_command(text) == (text,)


@given(st.text(alphabet=string.printable + "${}[]é", max_size=60))
def test_any_text_parses_or_says_why(text: str) -> None:
    try:
        parts = parse_command(text)
    except ValueError as error:
        sentence = str(error)
        assert sentence.endswith((".", "?"))
    else:
        assert parse_command(unparse(parts)) == parts


def test_white_space_in_the_braces_does_not_count() -> None:
    assert parse("${{  parent.inputs.x }}") == (ParameterRef("x"),)
    assert parse("${{\n parent . jobs . a-b . outputs . y}}") == (OutputRef("a-b", "y"),)


def test_job_names_may_hold_dots_and_the_word_outputs() -> None:
    assert parse("${{parent.jobs.a.b.outputs.c}}") == (OutputRef("a.b", "c"),)
    assert parse("${{parent.jobs.a.outputs.b.outputs.c}}") == (OutputRef("a.outputs.b", "c"),)


def test_trigger_time_is_the_run_field_ts() -> None:
    assert parse("${{creation_context.trigger_time}}") == (RunFieldRef("ts"),)
    assert str(RunFieldRef("ts")) == "${{airflow.ts}}"


def test_optional_parts_of_a_command() -> None:
    parts = parse_command("run $[[--x ${{inputs.x}}]] ${{outputs.y}}")
    assert parts == ("run ", OptionalPart(("--x ", InputRef("x"))), " ", OutputPortRef("y"))
    assert isinstance(parts[1], OptionalPart)
    assert parts[1].ports == {"x"}
    assert unparse(parts) == "run $[[--x ${{inputs.x}}]] ${{outputs.y}}"


def test_shell_brackets_are_no_optional_parts() -> None:
    assert parse_command("if [[ -f x ]]; then echo; fi") == ("if [[ -f x ]]; then echo; fi",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${{parent.inputs.x", "closes"),
        ("${{}}", "is not an expression"),
        ("${{parent.inputs.a.b}}", "is not an expression"),
        ("${{parent.inputs.é}}", "is not an expression"),
        ("${{airflow.conf}}", "names no field of a run"),
        ("${{search_space.lr}}", "sweep"),
        ("${{inputs.x}} ${{", "closes"),
    ],
)
def test_malformed_expressions_say_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(text)


def test_optional_parts_do_not_nest() -> None:
    with pytest.raises(ValueError, match="nested"):
        parse_command("$[[a $[[b ${{inputs.x}}]] c]]")
