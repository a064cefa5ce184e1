"""Templates: ours, the user's, and what none of them may do."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlpipe.errors import ConfigError, SpecError
from airflow_mlpipe.frozen import checked, replaced
from airflow_mlpipe.generator import Renderer
from airflow_mlpipe.generator.drift import parse_header
from airflow_mlpipe.generator.plan import plan_dag
from airflow_mlpipe.generator.render import edge, prose
from airflow_mlpipe.generator.verify import verify
from airflow_mlpipe.spec.model import AirflowBlock
from airflow_mlpipe.spec.step import InputData, OutputData, Step
from tests.generator.specs import pipeline

OUT = Path("/repo/dags")
MODEL = Step(name="train", command="x", outputs={"m": OutputData(type="mlflow_model", name="prices")})
USER = Step(name="score", command="x", inputs={"m": InputData(type="mlflow_model", path="azureml:prices@latest")})


def render(*steps: Step, templates: Path | None = None, **block: object) -> str:
    spec = pipeline(Path("/repo/pipelines"), *steps, airflow=checked(AirflowBlock, block))
    return Renderer(templates).render(plan_dag(spec, OUT))


def test_retraining_runs_one_at_a_time_and_names_its_models() -> None:
    text = render(MODEL, template="retraining")
    assert "    max_active_runs=1,\n" in text
    assert "- prices (step train)\n" in text
    assert "    max_active_runs=3,\n" in render(MODEL, template="retraining", max_active_runs=3)
    assert "max_active_runs" not in render(MODEL)


def test_batch_scoring_names_the_models_that_it_uses() -> None:
    text = render(USER, template="batch_scoring")
    assert "- azureml:prices@latest (step score)\n" in text
    assert "    catchup=False,\n" in text


def test_a_champion_is_named_with_who_compares_and_who_promotes() -> None:
    judge = Step(
        name="judge", command="x", inputs={"old": InputData(type="custom_model", path="azureml:prices@latest")}
    )
    text = render(judge, MODEL, template="champion_challenger")
    assert "- prices: the challenger meets it in judge and takes its place in train\n" in text
    assert "    max_active_runs=1,\n" in text
    assert "max_active_runs=2,\n" in render(judge, MODEL, template="champion_challenger", max_active_runs=2)


@pytest.mark.parametrize("steps", [(MODEL,), (USER,), (MODEL, Step(name="a", command="x"))])
def test_a_champion_that_nobody_meets_or_replaces_is_none(steps: tuple[Step, ...]) -> None:
    with pytest.raises(SpecError, match=r"MLP154  airflow.template: .* no step reads a model as azureml:<name>@latest"):
        render(*steps, template="champion_challenger")


FETCH = Step(
    name="fetch",
    type="data_transfer",
    inputs={"landing": InputData(path="azureml://datastores/landing/paths/new", include=("*.csv",))},
    outputs={"raw": OutputData()},
)
PUBLISH = Step(name="publish", command="x", outputs={"d": OutputData(name="sales")}, upstream=("fetch",))


def test_data_that_is_taken_in_is_named_with_its_source() -> None:
    text = render(FETCH, PUBLISH, template="data_ingestion")
    assert "- azureml://datastores/landing/paths/new (step fetch)\n" in text
    assert "- sales (step publish)\n" in text
    assert "    max_active_runs=1,\n" in text
    assert '"include": ["*.csv"]' in text


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((replaced(PUBLISH, upstream=()),), "no step of type data_transfer has an input from outside"),
        ((FETCH,), "no output has a 'name'"),
    ],
)
def test_a_pipeline_that_takes_nothing_in_is_refused(steps: tuple[Step, ...], reason: str) -> None:
    with pytest.raises(SpecError, match=rf"MLP154  airflow.template: .*{reason}"):
        render(*steps, template="data_ingestion")


def test_many_models_are_named_by_their_loop() -> None:
    steps = [replaced(MODEL, name=f"each.train_{x}", outputs=_named(x)) for x in ("a", "b")]
    block = AirflowBlock(template="many_models")
    groups = {step.name: ("each",) for step in steps}
    spec = pipeline(Path("/repo/pipelines"), *steps, airflow=block, step_groups=groups)
    text = Renderer().render(plan_dag(spec, OUT))
    assert "- each: prices-a, prices-b\n" in text
    assert "    max_active_runs=1,\n" in text
    same = [replaced(step, outputs=_named("a")) for step in steps]
    spec = replaced(spec, steps=tuple(same))
    with pytest.raises(SpecError, match=r"MLP154  airflow.template: .* under several names"):
        Renderer().render(plan_dag(spec, OUT))


def _named(item: str) -> dict[str, OutputData]:
    return {"m": OutputData(type="mlflow_model", name=f"prices-{item}")}


@pytest.mark.parametrize(
    "template", ["retraining", "batch_scoring", "champion_challenger", "data_ingestion", "many_models"]
)
def test_a_template_refuses_a_pipeline_that_it_does_not_fit(template: str) -> None:
    with pytest.raises(SpecError, match=rf"MLP154  airflow.template: the template '{template}' is for pipelines that"):
        render(Step(name="a", command="x"), template=template)


def test_a_users_template_goes_before_ours_and_may_extend_it(tmp_path: Path) -> None:
    (tmp_path / "general.py.j2").write_text(
        '{% extends "mlpipe/general.py.j2" %}\n'
        "{% block imports %}\nfrom ours import notify{% endblock %}\n"
        "{% block step_extras %}\n        on_failure_callback=notify,{% endblock %}"
    )
    text = render(MODEL, templates=tmp_path)
    assert "from ours import notify\n" in text
    assert "        on_failure_callback=notify,\n    )\n" in text
    assert parse_header(text) is not None


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ dag.dag_id }}", "prints 'flights' without a filter"),
        ("{{ dag.nothing | py }}", "nothing"),
        ("{% if %}", "Expected an expression"),
        ("{{ dag.__class__.__mro__ | py }}", "unsafe|cannot be written|not a plain value"),
        ("{{ 'a b' | identifier }}", "not an identifier"),
        ("x = (", "not Python"),
        ("x = 1", "exactly one 'with DAG"),
        ("with DAG(dag_id='other'):\n    pass", "'dag_id' of DAG as planned"),
    ],
)
def test_a_broken_template_is_named_with_its_fault(tmp_path: Path, template: str, reason: str) -> None:
    (tmp_path / "general.py.j2").write_text(template)
    with pytest.raises(ConfigError, match=reason) as caught:
        render(MODEL, templates=tmp_path)
    assert "general" in str(caught.value)


def test_an_unknown_template_names_the_known_ones() -> None:
    spec = pipeline(Path("/repo/pipelines"), MODEL)
    plan = plan_dag(replaced(spec, airflow=AirflowBlock(template="../x")), OUT)
    with pytest.raises(
        ConfigError, match=r"no template '\.\./x'\. Known: batch_scoring, champion_challenger, data_ing"
    ):
        Renderer().render(plan)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('command="x"', 'command="y"', "'command' of step 'train'"),
        ("train = CommandOperator", "other = CommandOperator", "does not write the step 'train'"),
        ("train = CommandOperator", "train = PlanOperator", "does not write the step 'train'"),
        ('        command="x",\n', "", "'command' of step 'train'"),
        ('command="x"', 'command="x" + "y"', "'command' of step 'train'"),
        ("    plan >> train", "    train = CommandOperator()\n    plan >> train", "assigns 'train' twice"),
        ("schedule=None", 'schedule="@daily"', "'schedule' of DAG"),
    ],
)
def test_a_text_that_says_something_else_than_the_plan_is_refused(old: str, new: str, reason: str) -> None:
    plan = plan_dag(pipeline(Path("/repo/pipelines"), MODEL), OUT)
    text = Renderer().render(plan)
    assert old in text
    with pytest.raises(ConfigError, match=reason):
        verify(text.replace(old, new), plan)


def test_long_edges_are_broken_as_the_formatter_does() -> None:
    names = tuple(f"a_rather_long_step_{number}" for number in range(6))
    assert edge((("a",), ("b",))) == "a >> b"
    assert edge((("plan",), names[:2]), 4) == "plan >> [a_rather_long_step_0, a_rather_long_step_1]"
    assert edge((("plan",), names), 4).splitlines()[:2] == ["plan >> [", "        a_rather_long_step_0,"]
    assert edge((names, ("b",)), 4).splitlines()[-1] == "    ] >> b"


def test_prose_is_folded_wrapped_and_cannot_end_the_docstring() -> None:
    text = prose('say """hi"""\n\n' + "word " * 40)
    assert '"' not in text
    assert max(map(len, text.splitlines())) <= 88
