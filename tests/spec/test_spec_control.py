"""Control flow becomes decisions and steps of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.step import Branch, InputData, OutputData, Step

BRANCHES = Path(__file__).parents[1] / "generator/pipelines/branches.yml"


@pytest.fixture(scope="module")
def spec() -> PipelineSpec:
    return load_pipeline(BRANCHES)


@pytest.fixture(scope="module")
def steps(spec: PipelineSpec) -> dict[str, Step]:
    return {step.name: step for step in spec.steps}


def load(folder: Path, jobs: str) -> dict[str, Step]:
    (folder / "pipeline.yml").write_text("type: pipeline\nname: p\njobs:\n" + jobs)
    return {step.name: step for step in load_pipeline(folder / "pipeline.yml").steps}


def test_a_decision_comes_before_the_steps_it_is_about(spec: PipelineSpec, steps: dict[str, Step]) -> None:
    decide = steps["decide"]
    assert decide.type == "branch"
    assert decide.inputs == {
        "condition": InputData(type="uri_file", path="${{parent.jobs.check.outputs.good}}", value="boolean")
    }
    assert decide.branch == Branch(when_true=("deploy",), when_false=("repair", "tell"))
    assert [name for name, step in steps.items() if "decide" in step.upstream] == ["deploy", "repair", "tell"]
    assert spec.step_options["decide"].pool == "decisions"
    assert steps["strictly"].inputs == {"condition": "${{parent.inputs.strict}}"}
    assert spec.warnings == ()


def test_a_value_that_a_step_writes_is_read_by_another(steps: dict[str, Step]) -> None:
    assert steps["check"].outputs["score"] == OutputData(type="uri_file", value="number")
    assert steps["deploy"].inputs == {
        "score": InputData(type="uri_file", path="${{parent.jobs.check.outputs.score}}", value="number")
    }


def test_a_loop_has_a_step_for_each_round_and_a_decision_between_them(steps: dict[str, Step]) -> None:
    rounds = [name for name in steps if name.startswith("improve.")]
    assert rounds == ["improve.fit_1", "improve.again_1", "improve.fit_2", "improve.again_2", "improve.fit_3"]
    first, second = steps["improve.fit_1"], steps["improve.fit_2"]
    assert first.inputs["old"] == InputData(type="uri_file", path="./none.txt", optional=True)
    assert second.inputs["old"] == InputData(type="uri_file", path="${{parent.jobs.improve.fit_1.outputs.model}}")
    assert second.upstream == ("improve.fit_1", "improve.again_1")
    assert steps["improve.again_1"].branch == Branch(
        when_true=("improve.fit_2", "improve.again_2"), stand_ins={"improve.fit_2": "improve.fit_1"}
    )
    assert steps["show"].inputs["model"] == InputData(
        type="uri_file", path="${{parent.jobs.improve.fit_3.outputs.model}}"
    )
    assert steps["strictly"].branch == Branch(when_true=tuple(rounds))
    assert first.upstream == ("strictly",)


def test_each_item_has_a_step(spec: PipelineSpec, steps: dict[str, Step]) -> None:
    assert steps["each.region_east"].inputs == {"rate": 0.1, "who": "all"}
    assert steps["each.region_west"].inputs == {"rate": 0.2, "who": "all"}
    assert spec.groups("each.region_east") == ("each",)


def test_items_may_be_a_list_or_json(tmp_path: Path) -> None:
    body = "  b: {command: 'echo ${{inputs.x}}', inputs: {x: 0}}\n"
    loop = "  l: {type: parallel_for, body: '${{parent.jobs.b}}', items: %s}\n"
    assert list(load(tmp_path, body + loop % "[{x: 1}, {x: 2}]")) == ["l.b_1", "l.b_2"]
    steps = load(tmp_path, body + loop % """'{"n": {"x": "q"}}'""")
    assert steps["l.b_n"].inputs == {"x": "q"}


def test_rounds_without_condition_follow_each_other(tmp_path: Path) -> None:
    steps = load(
        tmp_path,
        "  b: {command: echo}\n"
        "  l: {type: do_while, body: '${{parent.jobs.b}}', limits: {max_iteration_count: 3}}\n"
        "  after: {command: echo, airflow: {run_after: [b]}}\n",
    )
    assert {name: step.upstream for name, step in steps.items()} == {
        "l.b_1": (),
        "l.b_2": ("l.b_1",),
        "l.b_3": ("l.b_2",),
        "after": ("l.b_3",),
    }


def test_a_pipeline_is_repeated_whole(tmp_path: Path) -> None:
    part = """
type: pipeline
inputs: {old: {type: uri_folder, optional: true}}
outputs: {model: {type: uri_folder}, more: {type: boolean}}
jobs:
  fit:
    command: echo $[[${{inputs.old}}]] > ${{outputs.model}}/x
    inputs: {old: '${{parent.inputs.old}}'}
    outputs: {model: '${{parent.outputs.model}}'}
    airflow: {optional_inputs: [old]}
  judge:
    command: echo false > ${{outputs.more}}
    inputs: {model: '${{parent.jobs.fit.outputs.model}}'}
    outputs: {more: '${{parent.outputs.more}}'}
"""
    (tmp_path / "part.yml").write_text(part)
    steps = load(
        tmp_path,
        "  body: {component: ./part.yml}\n"
        "  l: {type: do_while, body: '${{parent.jobs.body}}', condition: '${{parent.jobs.body.outputs.more}}', "
        "mapping: {model: [old]}, limits: {max_iteration_count: 2}}\n",
    )
    assert list(steps) == ["l.body_1.fit", "l.body_1.judge", "l.again_1", "l.body_2.fit", "l.body_2.judge"]
    assert steps["l.body_1.fit"].inputs == {"old": None}
    assert steps["l.body_2.fit"].inputs == {
        "old": InputData(path="${{parent.jobs.l.body_1.fit.outputs.model}}", optional=True)
    }
    assert steps["l.again_1"].branch == Branch(
        when_true=("l.body_2.fit", "l.body_2.judge"),
        stand_ins={"l.body_2.fit": "l.body_1.fit", "l.body_2.judge": "l.body_1.judge"},
    )
    assert steps["l.body_2.fit"].upstream == ("l.body_1.fit", "l.again_1")
