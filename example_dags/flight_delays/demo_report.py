"""The tables at the end of the demo, from the workspace's own records."""

from __future__ import annotations

import re
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table

from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace

STEPS = ("ingest", "prepare", "train", "evaluate", "register", "score")
METRIC = {"train": "training_auc", "evaluate": "auc"}
RUN_ID = re.compile(r"scheduled__(\d{4}-\d{2}-\d{2})T[0-9:.+]+")


def short(text: str) -> str:
    """Return a text with the run ids of the scheduler cut to their dates."""
    return RUN_ID.sub(r"\1", text)


def run_steps(workspace: Workspace, pipeline: str) -> list[StepRecord]:
    """Return the steps of every run, the runs in the order in which they started, the steps in that of the pipeline."""
    runs = sorted(workspace.runs.runs(pipeline), key=lambda run: run.started)
    return [
        record
        for run in runs
        for record in sorted(workspace.runs.steps(pipeline, run.run_id), key=lambda record: STEPS.index(record.step))
    ]


def show_runs(console: Console, workspace: Workspace, pipeline: str) -> list[StepRecord]:
    """Print a row for each step of each run; seconds with a minus are those that reuse saved.

    :returns: the steps of the last run.
    """
    table = Table(title=f"Runs of {pipeline}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("run", "step", "what", "why", "seconds", "model version", "metric"):
        right = heading == "seconds"
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading in ("run", "step", "what"))
    last: list[StepRecord] = []
    for run_id, found in groupby(run_steps(workspace, pipeline), key=lambda record: record.run_id):
        last = list(found)
        for number, record in enumerate(last):
            table.add_row(
                short(run_id) if number == 0 else "",
                record.step,
                record.decision,
                short(record.reason),
                f"{record.seconds:.1f}" if record.decision == "ran" else f"-{record.saved:.1f}",
                ", ".join(record.registered.values()),
                _metric(record),
            )
        table.add_section()
    console.print(table)
    console.print("Seconds with a minus were saved by reuse.")
    return last


def _metric(record: StepRecord) -> str:
    values = {metric["name"]: metric["value"] for metric in record.metrics}
    text = ""
    if METRIC.get(record.step) in values:
        text = f"{METRIC[record.step]} {values[METRIC[record.step]]:.4f}"
    if "champion_auc" in values:
        text += f", champion {values['champion_auc']:.4f}"
    return text


def show_registry(console: Console, workspace: Workspace, model: str) -> None:
    """Print every registered version of the model and the run that made it."""
    table = Table(title=f"Registered versions of {model}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("version", "registered by run", "content"):
        table.add_column(heading)
    for version in workspace.registry.versions("model", model):
        table.add_row(str(version.version), short(str(version.lineage.get("run_id"))), version.data.content.digest[:22])
    console.print(table)


def registry_faults(workspace: Workspace, pipeline: str, model: str) -> list[str]:
    """Compare the registry with the verdicts: a version for each model that was better, and no other.

    :returns: what is wrong, in sentences.
    """
    better = []
    for record in run_steps(workspace, pipeline):
        if record.step == "evaluate" and record.decision == "ran":
            values = {metric["name"]: metric["value"] for metric in record.metrics}
            if "champion_auc" not in values or values["auc"] > values["champion_auc"]:
                better.append(record.run_id)
    registered = [str(version.lineage.get("run_id")) for version in workspace.registry.versions("model", model)]
    if registered == better:
        return []
    return [f"The registry holds the models of {registered}, but those of {better} were better."]
