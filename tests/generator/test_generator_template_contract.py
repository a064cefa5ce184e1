"""The contract of DAG templates: ours, and a folder as a team would have one."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.spec.model import Template
from airflow_mlpipe.testing.dag_template import DagTemplateContract
from tests.conftest import ROOT

TEAM = """\
{% extends "mlpipe/general.py.j2" %}
{% block imports %}
from ours.callbacks import notify{% endblock %}
{% block about %}

Call the platform team.{% endblock %}
{% block dag_extras %}
    max_active_tasks=4,{% endblock %}
{% block step_extras %}
{{ task.indent | blanks }}    on_failure_callback=notify,{% endblock %}
{% block extras %}

    plan.set_downstream([]){% endblock %}
"""


class TestOurTemplates(DagTemplateContract):
    """Those of this package."""

    @pytest.fixture
    def templates(self) -> None:
        return None

    def test_each_can_be_named_in_a_pipeline(self, names: list[str]) -> None:
        assert sorted(get_args(Template)) == names


class TestTemplatesOfATeam(DagTemplateContract):
    """Every block is overridden, and one template extends another of ours."""

    also_imports = ("ours.callbacks",)

    @pytest.fixture
    def templates(self, tmp_path: Path) -> Path:
        (tmp_path / "general.py.j2").write_text(TEAM)
        (tmp_path / "many_models.py.j2").write_text('{% extends "mlpipe/many_models.py.j2" %}\n')
        return tmp_path


GENERAL = (ROOT / "dag_templates/general.py.j2").read_text()


@pytest.mark.parametrize(
    ("law", "template"),
    [
        ("test_the_file_imports_only_what_is_agreed_on", TEAM.replace("ours.callbacks", "pandas")),
        (
            "test_no_text_of_the_pipeline_becomes_code",
            TEAM.replace("plan.set_downstream([])", "{{ dag.title | comment }}"),
        ),
        ("test_a_pipeline_that_does_not_fit_is_refused_in_words", TEAM.replace("Call", "{{ dag.nothing }}")),
        ("test_the_file_is_known_as_generated", GENERAL.replace("# spec:", "# from:")),
        (
            "test_a_pipeline_becomes_a_dag_file_that_says_what_the_pipeline_says",
            GENERAL.replace("in dag.arguments.items()", "in {}.items()"),
        ),
    ],
)
def test_the_contract_finds_a_template_that_breaks_a_law(law: str, template: str, tmp_path: Path) -> None:
    (tmp_path / "general.py.j2").write_text(template)
    with pytest.raises((AssertionError, MLPipeError)):
        getattr(TestTemplatesOfATeam(), law)(tmp_path, ["general"])
