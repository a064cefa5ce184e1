# ruff: noqa: D102 - the name of a test says what it asks
"""The contract of a folder of DAG templates, as tests: inherit it to prove templates of your own.

    class TestOurTemplates(DagTemplateContract):
        also_imports = ("ours.callbacks",)

        @pytest.fixture
        def templates(self):
            return Path("templates")

Nothing is written, and Airflow is not needed: ``mlpipe generate`` lets it load each file before it replaces another.
"""

from __future__ import annotations

import ast
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.generator import Renderer
from airflow_mlpipe.generator.drift import parse_header
from airflow_mlpipe.generator.plan import plan_dag
from airflow_mlpipe.spec.model import AirflowBlock, PipelineSpec, Schedule, Template
from airflow_mlpipe.spec.step import InputData, OutputData, Step

HOSTILE = (
    "O'Brien",
    'C:\\new\\table"""',
    "x\nimport os",
    "x\u2028import os",
    "# -*- coding: utf-7 -*-",
    "'); import os #",
    "{{ 7 * 7 }}{% endblock %}",
    "$(touch x) `touch x`",
    "Zürich 中文 \u202e \U0001f680",
)
IMPORTS = frozenset({"datetime", "pendulum", "airflow.sdk", "airflow_mlpipe.operators"})
"""What the DAG files of our own templates import: cheap when Airflow parses them."""
_FOLDER, _OUT = Path("/repo/pipelines"), Path("/repo/dags")
_SUFFIX = ".py.j2"


def sample(template: str, text: str = "shops") -> PipelineSpec:
    """Return a pipeline that every template of ours is for: it takes data in, trains many models, keeps a champion.

    :param text: stands wherever a pipeline may have text.
    """
    fetch = Step(
        name="fetch",
        type="data_transfer",
        inputs={"landing": InputData(path="./landing", include=("*.csv",))},
        outputs={"raw": OutputData(name=text)},
    )
    models = [
        Step(
            name=f"{text}.train_{item}",
            command=text,
            code="./src",
            inputs={"raw": InputData(path="${{parent.jobs.fetch.outputs.raw}}"), "text": text},
            outputs={"model": OutputData(type="custom_model", name=f"{text}-{item}")},
            environment_variables={text: text},
            upstream=("fetch",),
        )
        for item in ("one", "two")
    ]
    champion = InputData(type="custom_model", path=f"azureml:{text}-one@latest", optional=True)
    compare = Step(name="compare", command=text, inputs={"champion": champion}, upstream=(models[0].name,))
    steps = (fetch, *models, compare)
    return PipelineSpec(
        source=_FOLDER / "pipeline.yml",
        name="sample",
        display_name=text,
        description=text,
        steps=steps,
        lines={step.name: number for number, step in enumerate(steps, start=2)},
        step_groups={step.name: (text,) for step in models},
        airflow=AirflowBlock(
            template=cast(Template, template),
            owner=text,
            tags=(text,),
            schedule=Schedule(expression="@daily"),
            retries=2,
            retry_delay=60,
        ),
    )


class DagTemplateContract:
    """What every template must do."""

    also_imports: tuple[str, ...] = ()
    """Modules that your templates import besides ours; keep them cheap, each task start parses the file."""

    @pytest.fixture
    def templates(self) -> Path | None:
        """Return the folder of templates, ``None`` for those of this package; to be overridden."""
        raise LookupError("Define the fixture 'templates' in the class that inherits this contract.")

    @pytest.fixture
    def names(self, templates: Path | None) -> list[str]:
        """Return the templates to be tested."""
        found = Renderer().names if templates is None else sorted(path.name for path in templates.glob(f"*{_SUFFIX}"))
        assert found, f"There is no <name>{_SUFFIX} in {templates}."
        return [name.removesuffix(_SUFFIX) for name in found]

    def render(self, templates: Path | None, spec: PipelineSpec) -> str:
        """Return the DAG file of a pipeline, by a renderer of its own."""
        return Renderer(templates).render(plan_dag(spec, _OUT))

    def test_a_pipeline_becomes_a_dag_file_that_says_what_the_pipeline_says(
        self, templates: Path | None, names: list[str]
    ) -> None:
        """The renderer compares each operator's arguments with the pipeline, so it is enough that it does not fail."""
        for name in names:
            assert "DAG(" in self.render(templates, sample(name)), name

    def test_the_same_pipeline_gives_the_same_bytes(self, templates: Path | None, names: list[str]) -> None:
        for name in names:
            assert self.render(templates, sample(name)) == self.render(templates, sample(name)), name

    def test_the_file_is_known_as_generated(self, templates: Path | None, names: list[str]) -> None:
        for name in names:
            header = parse_header(self.render(templates, sample(name)))
            assert header is not None, f"{name}: without the first lines of general{_SUFFIX} it is never replaced again"

    def test_no_text_of_the_pipeline_becomes_code(self, templates: Path | None, names: list[str]) -> None:
        renderer = Renderer(templates)
        for name in names:
            harmless = _shape(renderer.render(plan_dag(sample(name), _OUT)))
            for text in HOSTILE:
                assert _shape(renderer.render(plan_dag(sample(name, text), _OUT))) == harmless, (name, text)

    def test_the_file_imports_only_what_is_agreed_on(self, templates: Path | None, names: list[str]) -> None:
        for name in names:
            found = _imports(self.render(templates, sample(name)))
            assert found <= IMPORTS | set(self.also_imports), name

    def test_a_pipeline_that_does_not_fit_is_refused_in_words(self, templates: Path | None, names: list[str]) -> None:
        """A template may take any pipeline; if it does not, the fault is the author's to read."""
        for name in names:
            steps = (Step(name="only", command="true"),)
            spec = replaced(sample(name), steps=steps, step_groups={}, lines={"only": 2})
            with suppress(SpecError):
                assert "only = CommandOperator(" in self.render(templates, spec), name
                continue
            with pytest.raises(SpecError, match=r"MLP154  airflow\.template: "):
                self.render(templates, spec)


def _shape(text: str) -> list[tuple[str, ...]]:
    """Return the kinds of all nodes of the syntax tree, without names and constants."""
    return [tuple(type(node).__name__ for node in ast.walk(statement)) for statement in ast.parse(text).body]


def _imports(text: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(text)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
