"""``mlpipe validate``: every fault of every pipeline file, with its place."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from airflow_mlpipe.cli.sources import Loaded, counted, find_pipelines, load_pipelines

DESCRIPTION = "Check pipeline files. Shows every fault at once as file:line:column; writes nothing."
EXAMPLES = """\
mlpipe validate pipeline.yml
mlpipe validate pipelines/ --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="pipeline file, or folder to look for some in"
    )
    parser.add_argument("--json", action="store_true", help="print the faults as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the faults; 0 without errors, 2 with."""
    loaded = load_pipelines(find_pipelines(arguments.paths))
    if arguments.json:
        print(json.dumps({"ok": not loaded.errors, "faults": [asdict(fault) for fault in loaded.faults]}, indent=2))
    else:
        show_faults(loaded)
        if not loaded.errors:
            print(_good(loaded))
    return 2 if loaded.errors else 0


def show_faults(loaded: Loaded) -> None:
    """Print each fault on the error stream, the warnings first, and how many errors there are."""
    for fault in loaded.faults:
        if fault.level == "warning":
            print(fault, file=sys.stderr)
    if loaded.errors:
        show_errors(loaded.errors)


def show_errors(errors: Sequence[object]) -> None:
    """Print errors on the error stream, and how many there are."""
    for error in errors:
        print(error, file=sys.stderr)
    print(f"{counted(len(errors), 'error')}, nothing written.", file=sys.stderr)


def _good(loaded: Loaded) -> str:
    steps = sum(len(spec.steps) for spec in loaded.specs)
    text = f"{counted(len(loaded.specs), 'pipeline')} with {counted(steps, 'step')}, no errors"
    return f"{text}, {counted(len(loaded.faults), 'warning')}." if loaded.faults else f"{text}."
