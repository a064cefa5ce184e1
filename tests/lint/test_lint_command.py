"""``mlpipe lint`` from files to text, JSON and SARIF."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Sarif

from airflow_mlpipe.cli.main import main

ROOT = Path(__file__).parents[2]
GOOD = "type: pipeline\nname: {name}\ndescription: x\njobs: {{a: {{command: echo}}}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two ü"):
        Path(f"{name}.yml").write_text(GOOD.format(name=name[:3]))
    return tmp_path


def test_nothing_found_is_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mlpipe.toml").touch()
    assert main(["lint"]) == 0
    assert capsys.readouterr().out == "2 pipelines: 0 errors, 0 warnings, 0 pieces of advice.\n"


def test_advice_is_exit_code_1_and_errors_2(capsys: pytest.CaptureFixture[str]) -> None:
    Path("one.yml").write_text("type: pipeline\njobs: {a: {command: echo}}\n")
    assert main(["lint", "."]) == 1
    Path("two ü.yml").write_text("type: pipeline\njobs: 7\n")
    assert main(["lint", "."]) == 2
    out = capsys.readouterr().out
    assert "two ü.yml:2:7 error MLP023" in out
    assert out.splitlines()[-1] == "2 pipelines: 2 errors, 0 warnings, 1 piece of advice."
    assert main(["lint", "one.yml", "--ignore", "MLP30,MLP2"]) == 0


def test_a_component_of_two_pipelines_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.yml").write_text("command: 7\n")
    for name in ("one", "two ü"):
        Path(f"{name}.yml").write_text("type: pipeline\njobs: {a: {component: ./c.yml}}\n")
    assert main(["lint", "."]) == 2
    assert capsys.readouterr().out.count("c.yml:1:10 error MLP023") == 1


def test_json_and_what_a_comment_allows(capsys: pytest.CaptureFixture[str]) -> None:
    Path("one.yml").write_text("type: pipeline # mlpipe: ignore[MLP306]\njobs: {a: {command: echo}}\n")
    assert main(["lint", "one.yml", "--format", "json"]) == 0
    (finding,) = json.loads(capsys.readouterr().out)
    assert (finding["code"], finding["line"], finding["level"], finding["suppressed"]) == ("MLP306", 1, "advice", True)


def test_sarif_is_what_the_published_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    Path("one.yml").write_text(
        "type: pipeline # mlpipe: ignore[MLP306]\nexperiment_name: x\njobs: {a: {command: echo}}\n"
    )
    Path("two ü.yml").write_text("type: pipeline\njobs: {'ü': 7}\n")
    assert main(["lint", ".", "--format", "sarif"]) == 2
    log = json.loads(capsys.readouterr().out)
    Sarif.model_validate(log)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    found = {result["ruleId"]: result for result in run["results"]}
    assert {code: result["level"] for code, result in found.items()} == {
        "MLP306": "note",
        "MLP201": "warning",
        "MLP023": "error",
        "MLP030": "error",
    }
    place = found["MLP023"]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "two%20%C3%BC.yml"}, "region": {"startLine": 2, "startColumn": 13}}
    assert found["MLP306"]["suppressions"] == [{"kind": "inSource"}]
    assert "suppressions" not in found["MLP201"]
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == code for code, result in found.items())


def test_the_same_finding_keeps_its_fingerprint_when_lines_move(capsys: pytest.CaptureFixture[str]) -> None:
    prints = []
    for above in ("", "# a line\n\n"):
        Path("one.yml").write_text(f"{above}type: pipeline\njobs: 7\n")
        main(["lint", "one.yml", "--format", "sarif"])
        (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
        prints.append(result["partialFingerprints"])
    assert prints[0] == prints[1]


def test_a_schema_that_accepts_anything_would_prove_nothing() -> None:
    with pytest.raises(ValueError, match="extra"):
        Sarif.model_validate({"version": "2.1.0", "runs": [], "surprise": 1})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ignore", "MPL306"], "no code begins with 'MPL306'"),
        ([], "Name a PATH"),
        ([".", "--env", "dev"], "--env dev: there is no mlpipe.toml"),
    ],
)
def test_bad_words_are_exit_code_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_hooks_call_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert [hook["id"] for hook in hooks] == ["mlpipe-lint", "mlpipe-generate"]
    Path("mlpipe.toml").write_text('output = "dags"\n')
    for hook, code in zip(hooks, (0, 1), strict=True):
        program, *words = hook["entry"].split()
        assert program == "mlpipe"
        assert main(words) == code
