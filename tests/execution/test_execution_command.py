"""Commands hold no value, whatever the quotes around a placeholder; partitions and bindings."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.execution.bindings import resolve_parameters, resolve_value
from airflow_mlpipe.execution.command import render_arguments, render_command
from airflow_mlpipe.execution.partitions import partition_files
from airflow_mlpipe.execution.run_info import RunInfo, run_key
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.spec.step import Partitions

TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=30)


def a_run(**parameters: object) -> RunInfo:
    fields = {"data_interval_start": "2013-02-01T06:00:00-05:00", "ds": None}
    return RunInfo("demo", "r1", parameters, fields, Path())  # type: ignore[arg-type]


@given(TEXTS, st.sampled_from(["{}", '"{}"', "'{}'", 'a"b{}c"', "a'b{}c'", "x\\'{}", '"\\"{}"']))
def test_a_value_reaches_the_script_as_it_is(value: str, frame: str) -> None:
    command = render_command("printf %s " + frame.format("${{inputs.x}}"), {"x"}, {"x"}, "step a")
    done = subprocess.run(["bash", "-c", command], env={"MLPIPE_INPUT_x": value}, capture_output=True, check=True)
    [_, _, word] = shlex.split("printf %s " + frame.format("V"))
    assert done.stdout.decode() == word.replace("V", value)
    assert "MLPIPE_INPUT_x" in command


@given(TEXTS)
def test_an_argument_is_one_word(value: str) -> None:
    arguments = render_arguments("--x ${{inputs.x}} 'a b'", {"inputs.x": value}, {"x"}, "step a")
    assert arguments == ["--x", value, "a b"]


def test_optional_parts_drop_out() -> None:
    text = "train $[[--lr ${{inputs.lr}}]] --out ${{outputs.model}}"
    assert render_command(text, set(), {"lr"}, "w") == 'train  --out "${MLPIPE_OUTPUT_model}"'
    assert render_command(text, {"lr"}, {"lr"}, "w") == 'train --lr "${MLPIPE_INPUT_lr}" --out "${MLPIPE_OUTPUT_model}"'
    assert render_arguments("$[[--lr ${{inputs.lr}}]] x", {}, {"lr"}, "w") == ["x"]


def test_a_missing_value_is_named() -> None:
    with pytest.raises(ParameterError, match="optional and has no value; put this part into"):
        render_command("${{inputs.lr}}", set(), {"lr"}, "step a")
    with pytest.raises(ParameterError, match="cannot be split"):
        render_arguments("'open", {}, set(), "step a")


def test_bindings_keep_their_type() -> None:
    run = a_run(lr=0.1, flag=True, text="{{ ds }}")
    assert resolve_value("${{parent.inputs.lr}}", run, "w") == 0.1
    assert resolve_value("${{parent.inputs.flag}}", run, "w") is True
    assert resolve_value("lr=${{parent.inputs.lr}} ${{parent.inputs.flag}}", run, "w") == "lr=0.1 true"
    assert resolve_value("{{ ds }}", run, "w") == "{{ ds }}"
    assert resolve_value("${{parent.inputs.text}}", run, "w") == "{{ ds }}"


def test_a_binding_that_a_value_brings_is_not_resolved_again() -> None:
    run = a_run(text="${{parent.inputs.secret}}", secret="s")
    assert resolve_value("<${{parent.inputs.text}}>", run, "w") == "<${{parent.inputs.secret}}>"


def test_a_parameter_may_default_to_a_run_field() -> None:
    assert resolve_parameters({"month": "${{airflow.data_interval_start}}"}, a_run()) == {
        "month": "2013-02-01T06:00:00-05:00"
    }
    with pytest.raises(ParameterError, match=r"parameter day .*--param day=.*this run has no ds"):
        resolve_parameters({"day": "${{airflow.ds}}"}, a_run())


@pytest.mark.parametrize(
    ("every", "pattern", "count", "ahead", "wanted"),
    [
        ("month", "f-%Y-%m.csv", 3, 1, ("f-2012-12.csv", "f-2013-01.csv", "f-2013-02.csv", "f-2013-03.csv")),
        ("year", "%Y", 2, 0, ("2012", "2013")),
        ("day", "%m-%d", 2, 1, ("01-31", "02-01", "02-02")),
        ("week", "%m-%d", 1, 1, ("02-01", "02-08")),
        ("hour", "%d %H", 2, 0, ("01 05", "01 06")),
        ("hour", "%Y-%m-%d", 3, 0, ("2013-02-01",)),
    ],
)
def test_partitions_name_the_files_of_a_run(
    every: str, pattern: str, count: int, ahead: int, wanted: tuple[str, ...]
) -> None:
    partitions = checked(Partitions, {"files": pattern, "every": every, "count": count, "ahead": ahead})
    assert partition_files(partitions, a_run(), "w") == wanted


@pytest.mark.parametrize(("anchor", "count"), [("soon", 1), ("2013-02", 0), ("2013-02", "x"), ("2013-13", 1)])
def test_bad_partitions_are_named(anchor: str, count: object) -> None:
    partitions = checked(Partitions, {"files": "%m", "anchor": anchor, "count": count})
    with pytest.raises(ParameterError, match="step a"):
        partition_files(partitions, a_run(), "step a")


@given(TEXTS, TEXTS, TEXTS, st.integers(1, 99))
def test_run_keys_fit_every_target(pipeline: str, run_id: str, step: str, ordinal: int) -> None:
    key = run_key(pipeline, run_id, step, ordinal)
    assert len(key) == 52
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert key != run_key(pipeline, run_id, step, ordinal + 1)


def test_a_long_changed_line_is_narrowed_to_what_differs() -> None:
    from airflow_mlpipe.execution.changed_lines import changed_lines

    lead = "model = make_model_of_late_arrivals(random_state=0, shuffle=True, early_stopping=False,"
    assert changed_lines(f"{lead} trees=1)\n", f"{lead} trees=2)\n") == "line 1: ... trees=1) -> ... trees=2)"
    assert changed_lines("a\nb\n", "a\nx\nb\n") == "line 2: added x"
    assert changed_lines("a\nx\nb\n", "a\nb\n") == "line 2: removed x"
    assert changed_lines("a\nb\n", "a\r\nb\n") == "line ends or mode"
