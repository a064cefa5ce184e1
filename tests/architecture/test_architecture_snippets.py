"""The YAML and Python of the documents is true: it is read, loaded and built."""

import re
from pathlib import Path

import pytest
import yaml

from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.workspace import workspace_from_mapping

DOCS = Path(__file__).resolve().parents[2] / "docs"
STEP = """\
type: pipeline
name: snippet
inputs:
  month: {type: string, default: 2013-07}
jobs:
  only:
    type: command
    command: ls ${{inputs.flights}}
    inputs:
      flights: {type: uri_folder, path: azureml://datastores/landing/paths/flights}
"""


def snippets(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_airflow_block_of_the_pipeline_is_read(tmp_path: Path) -> None:
    block = snippets("yaml.md", "yaml")[0]
    train = "    outputs: {model: {type: custom_model}}\n"
    spec = load_pipeline(_file(tmp_path, STEP + train + block))
    assert spec.airflow.template == "retraining"
    assert spec.airflow.retry_delay == 300
    assert spec.airflow.schedule is not None
    assert spec.warnings == ()


def test_partitions_are_read(tmp_path: Path) -> None:
    block = "".join(f"    {line}\n" for line in snippets("yaml.md", "yaml")[1].splitlines())
    (step,) = load_pipeline(_file(tmp_path, STEP + block)).steps
    assert step.inputs["flights"].partitions.ahead == 1


def test_transfers_are_read(tmp_path: Path) -> None:
    spec = load_pipeline(_file(tmp_path, "type: pipeline\nname: p\n" + snippets("yaml.md", "yaml")[-1]))
    ingest, deliver = spec.steps
    assert ingest.inputs["flights"].exclude == ("*.tmp.csv",)
    assert deliver.outputs["out"].path == "azureml://datastores/lake/paths/reports"


def test_every_key_of_the_airflow_blocks_is_documented() -> None:
    from airflow_mlpipe.spec.documents import AirflowKeys, JobAirflowKeys

    text = (DOCS / "yaml.md").read_text(encoding="utf-8")
    keys = {*AirflowKeys.model_fields, *JobAirflowKeys.model_fields}
    assert sorted(key for key in keys if f"`{key}`" not in text) == []


def test_pipelines_inside_a_pipeline_are_read(tmp_path: Path) -> None:
    block = snippets("control-flow.md", "yaml")[0]
    (tmp_path / "components").mkdir()
    region = """\
type: pipeline
inputs: {raw: {type: uri_folder}, rounds: {type: integer}}
outputs: {model: {type: uri_folder}}
jobs:
  clean:
    command: cp ${{inputs.raw}}/* ${{outputs.model}}
    inputs: {raw: "${{parent.inputs.raw}}"}
    outputs: {model: "${{parent.outputs.model}}"}
"""
    (tmp_path / "components/region.yml").write_text(region)
    head = "type: pipeline\nname: p\ninputs: {east: {type: uri_folder, path: ./east}}\n"
    (tmp_path / "compare.py").write_text("")
    spec = load_pipeline(_file(tmp_path, head + block.replace("compare:\n", "compare:\n    code: .\n")))
    assert [step.name for step in spec.steps] == ["east.clean", "compare"]
    assert spec.steps[0].outputs["model"].name == "east-model"


def test_branches_and_loops_are_read(tmp_path: Path) -> None:
    branches, loops = snippets("control-flow.md", "yaml")[1:3]
    for script in ("check.py", "report.py"):
        (tmp_path / script).write_text("")
        branches = branches.replace(f"    command: python {script}", f"    code: .\n    command: python {script}")
    steps = load_pipeline(_file(tmp_path, "type: pipeline\nname: p\n" + branches)).steps
    assert [step.name for step in steps] == ["check", "decide", "deploy", "repair", "report"]

    (tmp_path / "components").mkdir()
    fit = "type: command\ncommand: echo ${{inputs.data}}\noutputs: {model: {}, go_on: {type: boolean}}\ninputs:\n"
    fit += "  data: {type: uri_folder}\n  start_from: {type: uri_folder, optional: true}\n"
    (tmp_path / "components/fit.yml").write_text(fit)
    region = "type: command\ncommand: echo ${{inputs.rate}}\ninputs: {rate: {type: number, default: 1}}\n"
    (tmp_path / "components/region.yml").write_text(region)
    head = "type: pipeline\nname: p\ninputs: {data: {type: uri_folder, path: ./data}}\n"
    spec = load_pipeline(_file(tmp_path, head + loops))
    assert len([step for step in spec.steps if step.name.startswith("improve.")]) == 5 + 4
    assert [step.name for step in spec.steps][-2:] == ["each.region_east", "each.region_west"]


def test_workspace_file_is_read(tmp_path: Path) -> None:
    (block,) = snippets("workspace.md", "yaml")
    workspace = workspace_from_mapping(yaml.safe_load(block.replace("/data/landing", str(tmp_path))), tmp_path)
    assert workspace.datastore("landing").local_path("") == tmp_path
    assert workspace.compute().name == "local"


@pytest.mark.airflow
def test_dag_of_operators_page_is_a_dag(tmp_path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    first, second = snippets("operators.md", "python")
    sensor = "    from airflow_mlpipe.sensors import DataChangedSensor\n" + "".join(
        f"    {line}\n" for line in second.splitlines()
    )
    (tmp_path / "by_hand.py").write_text(first + sensor, encoding="utf-8")
    bag = DagBag(str(tmp_path), bundle_path=tmp_path)
    assert bag.import_errors == {}
    dag = bag.dags["by_hand"]
    assert dag.get_task("train").upstream_task_ids == {"prepare"}
    assert dag.get_task("plan").upstream_task_ids == {"new_flights"}


def _file(folder: Path, text: str) -> Path:
    file = folder / "pipeline.yml"
    file.write_text(text, encoding="utf-8")
    return file
