"""``mlpipe compute``: which compute targets there are, and whether one works."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.errors import ConfigError, MLPipeError, ParameterError
from airflow_mlpipe.execution.trial import Trial, try_target
from airflow_mlpipe.workspace import Workspace

DESCRIPTION = """\
Show the compute targets of the workspace, or try one: reach it, run a job of one second there, and say how long each
part took, how far its clock is from ours and what it can do. The exit code of 'check' is 0 if the job ended well, 1 if
the target could not be reached or the job failed, 2 if the workspace is wrong or something is not installed."""
EXAMPLES = """\
mlpipe compute list
mlpipe compute check gpu-box
mlpipe compute check gpu-box --json       for scripts and monitoring"""
_SKEW = 10.0
"""Seconds of clock difference from which on Airflow and tokens of Azure get into trouble."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=("list", "check"), help="what to do")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the target to check; the default one if not given")
    parser.add_argument(
        "--patience", type=float, default=120.0, metavar="SECONDS", help="time for the job of 'check' (default 120)"
    )
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the targets or try one."""
    workspace = open_workspace(arguments, Path.cwd())
    return _check(workspace, arguments) if arguments.action == "check" else _list(workspace, arguments)


def _list(workspace: Workspace, arguments: argparse.Namespace) -> int:
    if arguments.name is not None:
        raise ParameterError("'mlpipe compute list' takes no name. To try a target: mlpipe compute check NAME.")
    rows = [_describe(workspace, name) for name in workspace.config.compute]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

    columns = ("name", "type", "default", "where", "problem")
    print_table(columns, [[str(row[column] or "") for column in columns] for row in rows])
    return 0


def _describe(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return what is known of a target without reaching it."""
    where, problem = "", ""
    try:
        where = workspace.compute(name).endpoint
    except ConfigError as error:
        problem = str(error)
    kind = workspace.config.compute[name].get("type", "")
    default = "default" if name == workspace.config.default_compute else ""
    return {"name": name, "type": kind, "default": default, "where": where, "problem": problem}


def _check(workspace: Workspace, arguments: argparse.Namespace) -> int:
    target = workspace.compute(arguments.name)
    try:
        trial = try_target(target, arguments.patience)
    except ConfigError:
        raise
    except MLPipeError as error:
        if not arguments.json:
            raise
        print(json.dumps({"target": target.name, "ok": False, "error": str(error)}, indent=2))
        return 1
    if arguments.json:
        print(json.dumps({"ok": True, **trial.to_json()}, indent=2))
    else:
        print("\n".join(_lines(trial)))
    return 0


def _lines(trial: Trial) -> list[str]:
    can = ", ".join(f"{name} {_words(value)}" for name, value in trial.capabilities.items())
    return [
        f"{trial.target}: a job of one second ended well.",
        f"machine   {trial.machine or 'unknown'}, Python {trial.python or 'not found'}",
        f"submit    {trial.submit_seconds * 1000:.0f} ms",
        f"status    {trial.status_seconds * 1000:.1f} ms",
        f"all       {trial.total_seconds:.1f} s",
        f"clock     {_clock(trial)}",
        f"can       {can}",
    ]


def _clock(trial: Trial) -> str:
    if trial.clock_seconds is None:
        return "not known"
    text = f"{trial.clock_seconds:+.1f} s against ours, within {trial.clock_error:.1f} s"
    far = abs(trial.clock_seconds) - trial.clock_error > _SKEW
    return f"{text}. That is too far: synchronise the clocks (NTP)." if far else text


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return "/".join(value) or "none"
    return "unlimited" if value is None else str(value)
