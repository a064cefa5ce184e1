"""Schedule files beside pipelines, for every command that takes a pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.cli.sources import find_pipelines

PIPELINE = """
type: pipeline
name: report
inputs: {year: {type: integer}}
jobs:
  copy:
    command: cp ${{inputs.data}}/x.txt ${{outputs.o}}/${{inputs.year}}.txt
    inputs: {data: {type: uri_folder, path: ./data}, year: "${{parent.inputs.year}}"}
    outputs: {o: {type: uri_folder}}
"""
SCHEDULE = """
$schema: https://azuremlschemas.azureedge.net/latest/schedule.schema.json
name: yearly_report
trigger: {type: cron, expression: "0 0 1 1 *", time_zone: Romance Standard Time}
create_job: {type: pipeline, job: ../pipelines/report.yml, inputs: {year: 2013}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "pipelines/report.yml": PIPELINE,
        "pipelines/data/x.txt": "x\n",
        "schedules/yearly.yml": SCHEDULE,
        "workspace.yml": "compute: {local: {type: inline}}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_is_searched_for_both(project: Path) -> None:
    found = [path.relative_to(project).as_posix() for path in find_pipelines([project])]
    assert found == ["pipelines/report.yml", "schedules/yearly.yml"]


@pytest.mark.usefixtures("project")
def test_validate_and_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "pipelines", "schedules"]) == 0
    assert "2 pipelines with 2 steps, no errors" in capsys.readouterr().out
    assert main(["run", "schedules/yearly.yml", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["pipeline"], said["steps"]["copy"]["decision"]) == ("yearly_report", "ran")
    assert main(["run", "pipelines/report.yml", "--param", "year=2013", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"]["copy"]["decision"] == "reused"


@pytest.mark.airflow
def test_generate_writes_a_dag_for_each(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "pipelines", "schedules", "-o", "dags"]) == 0
    assert sorted(path.name for path in (project / "dags").glob("*.py")) == ["report.py", "yearly_report.py"]
    text = (project / "dags/yearly_report.py").read_text()
    assert 'schedule="0 0 1 1 *"' in text
    assert 'tz="Europe/Paris"' in text
    assert "# spec: ../schedules/yearly.yml" in text
    assert '"../pipelines/data"' in text
    capsys.readouterr()
    assert main(["generate", "pipelines", "schedules", "-o", "dags", "--check"]) == 0
