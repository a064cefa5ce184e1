"""``mlpipe explain``: why a step of a run was reused or run, from the run's own records."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path

from airflow_mlpipe.cli.event_lines import metrics_text
from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.execution.choice import describe
from airflow_mlpipe.frozen import to_json
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace

DESCRIPTION = "Say why a step of a run was reused or run."
EXAMPLES = "mlpipe explain flight_delays latest train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("pipeline", metavar="PIPELINE", help="name of the pipeline (its DAG id)")
    parser.add_argument("run_id", metavar="RUN", help="run id, or 'latest'")
    parser.add_argument("step", metavar="STEP", nargs="?", help="one step; default: all of the run")
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )
    parser.add_argument("--json", action="store_true", help="print the step records as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation; 0 if there is one."""
    workspace = open_workspace(arguments, Path.cwd())
    run_id = _run_id(workspace, arguments.pipeline, arguments.run_id)
    records = workspace.runs.steps(arguments.pipeline, run_id)
    if arguments.step is not None:
        records = [_one(records, arguments.step, run_id)]
    if arguments.json:
        print("[" + ",\n".join(to_json(record).decode() for record in records) + "]")
    else:
        for record in records:
            print(sentence(record))
    return 0


def _run_id(workspace: Workspace, pipeline: str, asked: str) -> str:
    runs = workspace.runs.runs(pipeline)
    if not runs:
        known = workspace.runs.pipelines()
        close = difflib.get_close_matches(pipeline, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ParameterError(
            f"Workspace {workspace.name!r} has no runs of {pipeline!r}. "
            f"It has runs of: {', '.join(known) or 'nothing'}.{hint}"
        )
    if asked == "latest":
        return runs[-1].run_id
    names = [record.run_id for record in runs]
    if asked in names:
        return asked
    matching = [name for name in names if asked in name]
    if len(matching) == 1:
        return matching[0]
    raise ParameterError(f"{pipeline} has no run {asked!r}. Its latest runs: {', '.join(names[-5:])}.")


def _one(records: list[StepRecord], step: str, run_id: str) -> StepRecord:
    for record in records:
        if record.step == step:
            return record
    names = [record.step for record in records]
    close = difflib.get_close_matches(step, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ParameterError(f"Run {run_id} has no record of step {step!r}. Steps that ended: {', '.join(names)}.{hint}")


def sentence(record: StepRecord) -> str:
    """Return why a step was reused or run, and what came of it."""
    if record.decision == "failed":
        return f"{record.step} failed: {record.reason}"
    if record.decision == "skipped":
        return f"{record.step} was left out: {record.reason}."
    if record.decision == "decided":
        return f"{record.step} decided: {record.reason}."
    verb = "was reused: " if record.decision == "reused" else "ran because: "
    lines = [f"{record.step} {verb}{record.reason}."]
    lines += [f"  output {port}: {describe({port: ref})} at {ref.uri}" for port, ref in record.outputs.items()]
    if record.registered:
        lines.append(f"  registered: {', '.join(record.registered.values())}")
    if record.metrics:
        lines.append(f"  metrics: {metrics_text(record.metrics)}")
    return "\n".join(lines)
