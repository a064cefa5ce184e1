"""``mlpipe pin``: keep the outputs of a run, whatever their age."""

from __future__ import annotations

import argparse
from pathlib import Path

from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.errors import DataError, ParameterError
from airflow_mlpipe.retention import Pin, Pins
from airflow_mlpipe.workspace import Workspace

DESCRIPTION = (
    "Keep the outputs of a run under a name: garbage collection leaves them alone. Without a name, list the pins."
)
EXAMPLES = """\
mlpipe pin paper-2026 flight_delays manual-1     keep what this run wrote
mlpipe pin                                       list the pins
mlpipe pin paper-2026 --remove                   let it go"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="name of the pin")
    parser.add_argument("pipeline", metavar="PIPELINE", nargs="?", help="pipeline of the run")
    parser.add_argument("run_id", metavar="RUN", nargs="?", help="the run whose outputs stay")
    parser.add_argument("--remove", action="store_true", help="drop the pin")
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )


def run(arguments: argparse.Namespace) -> int:
    """Pin, list or drop."""
    workspace = open_workspace(arguments, Path.cwd())
    pins = Pins(workspace.reuse.datastore, workspace.reuse.prefix)
    if arguments.name is None:
        for pin in pins.all():
            print(f"{pin.name}: run {pin.run_id} of {pin.pipeline}, {len(pin.attempts)} attempts")
        return 0
    if arguments.remove:
        if not pins.remove(arguments.name):
            raise ParameterError(f"There is no pin {arguments.name!r}. It has: {_names(pins)}.")
        print(f"Dropped the pin {arguments.name}.")
        return 0
    if arguments.run_id is None:
        raise ParameterError("Say which run to keep: mlpipe pin NAME PIPELINE RUN. 'mlpipe runs' lists them.")
    pin = Pin(arguments.name, arguments.pipeline, arguments.run_id, _attempts(workspace, arguments))
    pins.put(pin)
    _check_there(workspace, pin)
    print(f"Pinned {len(pin.attempts)} attempts of run {pin.run_id} of {pin.pipeline} as {pin.name}.")
    return 0


def _attempts(workspace: Workspace, arguments: argparse.Namespace) -> tuple[str, ...]:
    steps = workspace.runs.steps(arguments.pipeline, arguments.run_id)
    if not steps:
        raise ParameterError(
            f"Workspace {workspace.name!r} has no ended steps of run {arguments.run_id!r} of {arguments.pipeline!r}. "
            "'mlpipe runs' lists the runs."
        )
    paths = {output.path.rpartition("/")[0] for step in steps for output in step.outputs.values()}
    return tuple(sorted(paths))


def _check_there(workspace: Workspace, pin: Pin) -> None:
    """Look after the pin is in place: from here on garbage collection leaves alone what is there."""
    gone = [path for path in pin.attempts if workspace.datastore().summary(path) is None]
    if gone:
        raise DataError(
            f"{len(gone)} of {len(pin.attempts)} outputs of run {pin.run_id} are gone already; the pin keeps the rest. "
            "Run the pipeline again to make them anew."
        )


def _names(pins: Pins) -> str:
    return ", ".join(pin.name for pin in pins.all()) or "none"
