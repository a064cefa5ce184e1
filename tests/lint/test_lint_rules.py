"""Each piece of advice: a pipeline that gets it, at its place, and one that does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.lint import Selection, examine
from airflow_mlpipe.project.loading import load_project
from airflow_mlpipe.spec.codes import SENTENCES

GOOD = """\
type: pipeline
description: Something.
inputs:
  rate: {type: number, default: 1}
  raw: {type: uri_folder, path: ./data}
jobs:
  one:
    type: command
    code: ./src
    command: echo ${{inputs.rate}} ${{inputs.raw}} $[[--more ${{inputs.more}}]] > ${{outputs.out}}
    environment: {pip_requirements: [pandas==2.2.3, "x @ https://example.org/x-1.0.tar.gz"]}
    environment_variables: {TOKENS: "7", API_KEY: "", MONKEY: banana}
    inputs: {rate: "${{parent.inputs.rate}}", raw: "${{parent.inputs.raw}}", more: {type: uri_folder, path: ./data}}
    outputs: {out: {type: uri_folder}}
    airflow: {optional_inputs: [more], retries: 2}
airflow: {schedule: "@daily", start_date: 2024-01-01, catchup: true, max_active_runs: 1}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("src", "data"):
        Path(name).mkdir()
    return tmp_path


def found(text: str, *overlays: str, **selection: tuple[str, ...]) -> list[str]:
    Path("p.yml").write_text(text)
    chosen = []
    if overlays:
        Path("mlpipe.toml").write_text("\n".join(overlays))
        chosen = [each.overlay for each in load_project(Path("mlpipe.toml")).environments.values()]
    return [str(each.fault) for each in examine(Path("p.yml"), Selection(**selection), chosen) if not each.suppressed]


def test_a_good_pipeline_gets_no_advice() -> None:
    assert found(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('{rate: "${{parent.inputs.rate}}", ', "{rate: 2, ", "p.yml:4:3 advice MLP301  inputs.rate: no job uses"),
        (
            "pandas==2.2.3",
            "pandas>=2",
            "p.yml:11:18 advice MLP302  jobs.one.environment: job 'one' asks for 'pandas>=2'",
        ),
        (
            "{pip_requirements: [",
            "{conda_file: {dependencies: [python=3.11, numpy]}} #",
            "p.yml:11:18 advice MLP302  jobs.one.environment: job 'one' asks for 'numpy' without",
        ),
        ('API_KEY: ""', "API_KEY: hunter2", "p.yml:12:42 advice MLP303  jobs.one.environment_variables.API_KEY: looks"),
        (", retries: 2", "", "p.yml:16:11 advice MLP304  airflow.schedule: jobs have no retries (one);"),
        ("code: ./src", "code: .", "p.yml:9:11 advice MLP305  jobs.one.code: the code folder '.' holds"),
        ("description: Something.", "tags: {a: b}", "p.yml:1:1 advice MLP306  has no 'description'"),
        (", max_active_runs: 1", "", "p.yml:16:55 advice MLP307  airflow.catchup: without 'max_active_runs'"),
        (" > ${{outputs.out}}", "", "p.yml:14:15 advice MLP308  jobs.one.outputs.out: the command does not name"),
        (" ${{inputs.raw}}", "", "p.yml:13:47 advice MLP309  jobs.one.inputs.raw: the command does not name"),
        ("pandas==2.2.3", '"-r ../../up.txt"', "p.yml:11:18 advice MLP310  jobs.one.environment: "),
    ],
)
def test_advice_has_its_place(old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) == 1
    (line,) = found(GOOD.replace(old, new))
    assert line.startswith(expected)


def test_a_constraints_file_makes_a_version_exact() -> None:
    Path("c.txt").write_text("pandas==2.2.3\n")
    assert found(GOOD.replace("pandas==2.2.3", 'pandas, "-c c.txt"')) == []


def test_a_parallel_job_names_its_ports_elsewhere() -> None:
    Path("src/score.py").touch()
    text = """\
type: pipeline
description: x
jobs:
  score:
    type: parallel
    input_data: ${{inputs.files}}
    inputs: {files: {type: uri_folder, path: ./data}, model: {type: uri_folder, path: ./data}}
    outputs: {rows: {type: uri_file}, rest: {type: uri_folder}}
    task:
      type: run_function
      code: ./src
      entry_script: score.py
      program_arguments: --x
      append_row_to: ${{outputs.rows}}
"""
    assert [re.search(r"MLP\d+ .*?:", line)[0] for line in found(text)] == [  # type: ignore[index]
        "MLP309  jobs.score.inputs.model:",
        "MLP308  jobs.score.outputs.rest:",
    ]


def test_a_job_of_a_nested_pipeline_has_its_place() -> None:
    inner = "{type: pipeline, component: {type: pipeline, jobs: {one: {command: echo, outputs: {o: {}}}}}}"
    (line,) = found(f"type: pipeline\ndescription: x\njobs:\n  deep: {inner}\n")
    assert line.startswith("p.yml:4:92 advice MLP308  jobs.deep.component.jobs.one.outputs.o: ")


def test_faults_and_warnings_are_findings_too() -> None:
    assert found("type: pipeline\njobs: 7\n")[0].startswith("p.yml:2:7 error MLP023")
    assert found(GOOD + "experiment_name: x\n")[0].startswith("p.yml:17:1 warning MLP201")


def test_an_environment_that_does_not_fit_is_found() -> None:
    (line,) = found(GOOD, "[environments.dev.parameters]", "rate = 'much'")
    assert line.startswith("mlpipe.toml:2:8 error MLP130  environments.dev.parameters.rate: ")


LOOSE = GOOD.replace("pandas==2.2.3", "pandas").replace("description: Something.", "experiment_name: x")


@pytest.mark.parametrize(
    ("select", "ignore", "codes"),
    [
        ((), (), ["MLP306", "MLP201", "MLP302"]),
        (("MLP3",), (), ["MLP306", "MLP302"]),
        (("MLP",), ("MLP3",), ["MLP201"]),
        (("MLP302",), ("MLP3",), ["MLP302"]),
        ((), ("MLP30", "MLP201"), []),
        (("MLP1",), (), []),
    ],
)
def test_codes_are_chosen_by_their_beginnings(
    select: tuple[str, ...], ignore: tuple[str, ...], codes: list[str]
) -> None:
    assert [line.split()[2] for line in found(LOOSE, select=select, ignore=ignore)] == codes


def test_errors_cannot_be_left_out() -> None:
    broken = "type: pipeline\njobs: 7 # mlpipe: ignore[MLP023]\n"
    assert [line.split()[2] for line in found(broken, ignore=("MLP",))] == ["MLP023"]


def test_a_code_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no code begins with 'MLP999'"):
        Selection(ignore=("MLP999",))


@pytest.mark.parametrize(
    ("comment", "at", "codes"),
    [
        ("# mlpipe: ignore[MLP302]", "pandas,", ["MLP306", "MLP201"]),
        ("# mlpipe: ignore[MLP306,  MLP201]", "x", ["MLP306", "MLP302"]),
        ("# mlpipe: ignore[MLP302]", "x", ["MLP306", "MLP201", "MLP302"]),
        ("# a word # mlpipe: ignore-file[MLP306, MLP302]", "x", ["MLP201"]),
    ],
)
def test_a_comment_says_that_it_is_meant(comment: str, at: str, codes: list[str]) -> None:
    lines = LOOSE.splitlines()
    number = 10 if at == "pandas," else 1
    lines[number] += f" {comment}"
    assert [line.split()[2] for line in found("\n".join(lines))] == codes


def test_the_sentences_are_those_of_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "codes.md").read_text(encoding="utf-8")
    rows = {int(code): said for code, said in re.findall(r"^\| MLP(\d{3}) \| (.*) \|$", text, re.MULTILINE)}
    assert rows == SENTENCES
