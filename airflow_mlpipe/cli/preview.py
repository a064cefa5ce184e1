"""``mlpipe preview``: the graph of a pipeline, and what a run would do, without Airflow."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_mlpipe.cli.drawing import drawing, edges, mermaid, svg
from airflow_mlpipe.cli.plan import summary
from airflow_mlpipe.cli.run_options import add_run_options, open_run, open_spec
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.execution.planner import StepPlan, plan
from airflow_mlpipe.generator import write_file
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.step import Step

DESCRIPTION = """\
Draw the graph of a pipeline: on the terminal, as Mermaid text or as SVG. With --plan, each step says what a run would
do with it, as 'mlpipe plan' does. Needs no Airflow, runs nothing and changes nothing."""
EXAMPLES = """\
mlpipe preview pipeline.yml
mlpipe preview pipeline.yml --plan --param learning_rate=0.2
mlpipe preview pipeline.yml --format mermaid -o graph.mmd
mlpipe preview pipeline.yml --format svg -o graph.svg"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_options(parser)
    parser.add_argument("--plan", action="store_true", help="ask the workspace what would be reused or run")
    parser.add_argument(
        "--format",
        choices=("text", "table", "mermaid", "svg"),
        default="text",
        help="text: boxes and arrows, then the steps as a table; default: text",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write mermaid or svg to a file")


def run(arguments: argparse.Namespace) -> int:
    """Draw the graph; 0 when done."""
    if arguments.output is not None and arguments.format not in ("mermaid", "svg"):
        raise ConfigError("-o FILE goes with --format mermaid or --format svg.")
    plans: Sequence[StepPlan] = ()
    if arguments.plan:
        spec, workspace, info = open_run(arguments)
        plans = plan(workspace, spec.steps, info)
    else:
        spec, _ = open_spec(arguments)
    decisions = {item.step.name: item.decision for item in plans}
    if arguments.json:
        _print_json(spec, plans)
    elif arguments.format in ("mermaid", "svg"):
        text = (mermaid if arguments.format == "mermaid" else svg)(spec, decisions)
        if arguments.output is None:
            sys.stdout.write(text)
        else:
            write_file(arguments.output, text)
    else:
        _show(spec, plans, drawn=arguments.format == "text")
    return 0


def _show(spec: PipelineSpec, plans: Sequence[StepPlan], drawn: bool) -> None:
    from airflow_mlpipe.cli.display import print_graph, print_table  # noqa: PLC0415 - not needed for the other formats

    reasons = {item.step.name: (item.decision, item.reason) for item in plans}
    if drawn:
        print_graph(drawing(spec, {name: decision for name, (decision, _) in reasons.items()}))
    if plans:
        rows = [(step.name, *reasons[step.name], _after(spec, step), step.compute or "") for step in spec.steps]
        print_table(("step", "decision", "why", "after", "compute"), rows)
        print(summary(plans))
    else:
        plain = [(step.name, step.type, _after(spec, step), step.compute or "") for step in spec.steps]
        print_table(("step", "type", "after", "compute"), plain)


def _after(spec: PipelineSpec, step: Step) -> str:
    """Return what a step waits for, with the outputs that it takes."""
    found = [edge for edge in edges(spec) if edge.after == step.name]
    return ", ".join(f"{edge.before} ({', '.join(edge.ports)})" if edge.ports else edge.before for edge in found)


def _print_json(spec: PipelineSpec, plans: Sequence[StepPlan]) -> None:
    decisions = {item.step.name: {"decision": item.decision, "why": item.reason} for item in plans}
    steps = [{"step": step.name, "type": step.type, **decisions.get(step.name, {})} for step in spec.steps]
    found = [{"before": edge.before, "after": edge.after, "outputs": list(edge.ports)} for edge in edges(spec)]
    print(json.dumps({"pipeline": spec.name, "steps": steps, "edges": found}, indent=2))
