"""The tables of the demo and its check of the registry, on records in memory."""

import io
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from airflow_mlpipe.content import ContentSummary, DataRef
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.tracking.base import RunRecord, StepRecord
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "flight_delays"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
PIPELINE = "flight_delays"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.delitem(sys.modules, "demo_report", raising=False)
    import demo_report

    return demo_report


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_from_mapping({"datastores": {"workspaceblobstore": {"type": "memory"}}}, tmp_path)


def record(workspace: Workspace, run_id: str, step: str, **more: object) -> None:
    """Write a step of a run; runs are in the order in which they are first named."""
    if workspace.runs.read_run(PIPELINE, run_id) is None:
        started = START + timedelta(hours=len(workspace.runs.runs(PIPELINE)))
        workspace.runs.write_run(RunRecord(pipeline=PIPELINE, run_id=run_id, started=started))
    fields = {"decision": "ran", "started": START, "ended": START, **more}
    workspace.runs.write_step(checked(StepRecord, {"pipeline": PIPELINE, "run_id": run_id, "step": step, **fields}))


def evaluated(workspace: Workspace, run_id: str, auc: float, champion: float | None = None) -> None:
    metrics = [{"name": "auc", "value": auc, "step": None}]
    if champion is not None:
        metrics.append({"name": "champion_auc", "value": champion, "step": None})
    record(workspace, run_id, "evaluate", metrics=metrics)


def registered(workspace: Workspace, run_id: str) -> None:
    data = DataRef("workspaceblobstore", run_id, "custom_model", ContentSummary(f"tree:{run_id}", 1, 1, "folder"))
    workspace.registry.register("model", "flight-delays", data, lineage={"run_id": run_id})


def test_registry_is_right_when_it_holds_the_better_models(report: ModuleType, workspace: Workspace) -> None:
    evaluated(workspace, "first", 0.70)
    evaluated(workspace, "worse", 0.69, 0.70)
    evaluated(workspace, "better", 0.71, 0.70)
    registered(workspace, "first")
    registered(workspace, "better")
    assert report.registry_faults(workspace, PIPELINE, "flight-delays") == []


@pytest.mark.parametrize("versions", [["first"], ["first", "worse"], ["first", "worse", "better"], []])
def test_registry_is_wrong_when_a_model_is_missing_or_too_many(
    report: ModuleType, workspace: Workspace, versions: list[str]
) -> None:
    evaluated(workspace, "first", 0.70)
    evaluated(workspace, "worse", 0.69, 0.70)
    evaluated(workspace, "better", 0.71, 0.70)
    for run_id in versions:
        registered(workspace, run_id)
    (fault,) = report.registry_faults(workspace, PIPELINE, "flight-delays")
    assert "['first', 'better'] were better" in fault


def test_table_has_the_steps_in_order_and_cuts_run_ids(report: ModuleType, workspace: Workspace) -> None:
    long = "scheduled__2013-07-01T10:00:00+00:00"
    record(workspace, long, "train", metrics=[{"name": "training_auc", "value": 0.8302, "step": None}], seconds=2.5)
    record(workspace, long, "ingest", reason="no earlier result")
    record(workspace, "again", "train", decision="reused", reason=f"identical to run {long}", saved=2.5)
    text = io.StringIO()
    last = report.show_runs(Console(file=text, width=150), workspace, PIPELINE)
    lines = [line.split() for line in text.getvalue().splitlines() if line.split()]
    shown = [line[:3] for line in lines if "ran" in line or "reused" in line]
    assert shown == [["2013-07-01", "ingest", "ran"], ["train", "ran", "2.5"], ["again", "train", "reused"]]
    assert "identical to run 2013-07-01 " in text.getvalue()
    assert "training_auc 0.8302" in text.getvalue()
    assert [step.run_id for step in last] == ["again"]
