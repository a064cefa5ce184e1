"""What ``mlpipe run`` and ``mlpipe plan`` have in common: which pipeline, workspace, parameters and date."""

from __future__ import annotations

import argparse
import difflib
import re
import secrets
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.execution.bindings import resolve_parameters
from airflow_mlpipe.execution.run_info import ReuseMode, RunInfo
from airflow_mlpipe.project.place import locate
from airflow_mlpipe.project.shelf import read_pipeline
from airflow_mlpipe.spec.model import Parameter, PipelineSpec
from airflow_mlpipe.spec.step import Scalar
from airflow_mlpipe.workspace import Workspace, find_workspace, load_workspace

_DATE = re.compile(r"\d{4}-\d{2}(-\d{2}([T ].*)?)?")
_BOOLEANS = {"true": True, "false": False}


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a pipeline and describe a run of it."""
    parser.add_argument("pipeline", type=Path, metavar="PIPELINE", help="pipeline YAML file")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="value of a pipeline input; may be repeated"
    )
    parser.add_argument(
        "--date",
        metavar="START[/END]",
        help="data interval of the run, such as 2013-03-01 or 2013-03-01/2013-04-01; "
        "default: the schedule's start_date, else today",
    )
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )
    parser.add_argument(
        "--reuse",
        choices=("auto", "force", "disable"),
        default="auto",
        help="auto: reuse what is identical; force: run everything, refresh the records; "
        "disable: run everything, leave the records",
    )
    parser.add_argument(
        "--reuse-step", action="append", default=[], metavar="STEP=MODE", help="reuse mode of one step; may be repeated"
    )
    parser.add_argument("--env", metavar="NAME", help="environment of mlpipe.toml to apply, such as dev or prod")
    parser.add_argument(
        "--project", type=Path, metavar="FILE", help="mlpipe.toml to use instead of the nearest one of the pipeline"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def open_workspace(arguments: argparse.Namespace, start: Path) -> Workspace:
    """Return the workspace that the arguments name, else the nearest one."""
    named: Path | None = arguments.workspace
    return load_workspace(named) if named is not None else find_workspace(start)


def open_spec(arguments: argparse.Namespace) -> tuple[PipelineSpec, Path | None]:
    """Read the pipeline, as the environment of the nearest ``mlpipe.toml`` changes it.

    :returns: it and the workspace file that the arguments or the project name.
    :raises SpecError: if the pipeline or the project file is wrong.
    """
    spec = read_pipeline(arguments.pipeline)
    named: Path | None = arguments.workspace
    folder = arguments.pipeline.resolve().parent
    if arguments.env is None and arguments.project is None and locate(folder) is None:
        return spec, named
    from airflow_mlpipe.cli.project_options import choose  # noqa: PLC0415 - a run without a project does without it

    chosen = choose(arguments, folder)
    if chosen.environment is not None:
        spec = chosen.environment.overlay.apply(spec)
    return spec, named or chosen.workspace


def open_run(arguments: argparse.Namespace) -> tuple[PipelineSpec, Workspace, RunInfo]:
    """Read the pipeline and the workspace, and describe the run that the arguments ask for.

    :raises SpecError: if the pipeline is wrong.
    :raises ParameterError: if a parameter or date is.
    """
    spec, workspace_file = open_spec(arguments)
    base = spec.folder.resolve()
    workspace = load_workspace(workspace_file) if workspace_file is not None else find_workspace(base)
    run_id = f"local__{datetime.now(timezone.utc):%Y-%m-%dT%H-%M-%S}-{secrets.token_hex(2)}"
    fields = _run_fields(arguments.date, spec, run_id)
    run = RunInfo(
        pipeline=spec.name,
        run_id=run_id,
        parameters=_parameters(spec, arguments.param),
        fields=fields,
        base=base,
        reuse=arguments.reuse,
        step_reuse=_step_modes(arguments.reuse_step, spec),
    )
    resolved = resolve_parameters(dict(run.parameters), run)
    return spec, workspace, RunInfo(**{**run.__dict__, "parameters": resolved})


def _split(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ParameterError(f"{option} {text!r} is not understood. Write {option} NAME=VALUE.")
    return name, value


def _unknown(noun: str, name: str, known: list[str]) -> ParameterError:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ParameterError(f"The pipeline has no {noun} {name!r}. It has: {', '.join(known) or 'none'}.{hint}")


def _parameters(spec: PipelineSpec, given: list[str]) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {name: parameter.default for name, parameter in spec.parameters.items()}
    for text in given:
        name, value = _split(text, "--param")
        if name in spec.data_inputs:
            values[name] = value
        elif name in spec.parameters:
            values[name] = _typed(name, value, spec.parameters[name])
        else:
            raise _unknown("input", name, [*spec.parameters, *spec.data_inputs])
    for name, parameter in spec.parameters.items():
        if values[name] is None and not parameter.optional:
            raise ParameterError(
                f"The input {name!r} ({parameter.type}) has no default. Give it as --param {name}=VALUE."
            )
    return values


def _typed(name: str, text: str, parameter: Parameter) -> Scalar:
    value: Scalar = text
    try:
        if parameter.type == "integer":
            value = int(text)
        elif parameter.type == "number":
            value = float(text)
        elif parameter.type == "boolean":
            value = _BOOLEANS[text.lower()]
        return parameter.normalise(value)
    except (ValueError, KeyError):
        wanted = "true or false" if parameter.type == "boolean" else f"a value of type {parameter.type}"
        raise ParameterError(f"--param {name}={text}: {text!r} is not {wanted}.") from None
    except ParameterError as error:
        raise ParameterError(f"--param {name}={text}: {error}") from None


def _step_modes(given: list[str], spec: PipelineSpec) -> dict[str, ReuseMode]:
    modes: dict[str, ReuseMode] = {}
    names = [step.name for step in spec.steps]
    for text in given:
        name, mode = _split(text, "--reuse-step")
        if name not in names:
            raise _unknown("step", name, names)
        if mode not in ("auto", "force", "disable"):
            raise ParameterError(f"--reuse-step {text}: {mode!r} is no mode. Allowed: auto, force, disable.")
        modes[name] = cast("ReuseMode", mode)
    return modes


def _run_fields(date: str | None, spec: PipelineSpec, run_id: str) -> dict[str, str | None]:
    now = datetime.now(timezone.utc)
    start, _, end = (date or str(spec.airflow.start_date or f"{now:%Y-%m-%d}")).partition("/")
    begin = _moment(start)
    return {
        "data_interval_start": begin.isoformat(),
        "data_interval_end": _moment(end).isoformat() if end else None,
        "logical_date": begin.isoformat(),
        "ds": f"{begin:%Y-%m-%d}",
        "ts": now.isoformat(),
        "run_id": run_id,
        "run_type": "manual",
        "dag_id": spec.name,
        "partition_key": None,
    }


def _moment(text: str) -> datetime:
    if not _DATE.fullmatch(text):
        raise ParameterError(
            f"--date {text!r} is no date. Write 2013-03-01, or START/END for both ends of the interval."
        )
    full = text if len(text) > len("2013-03") else f"{text}-01"
    try:
        moment = datetime.fromisoformat(full.replace("Z", "+00:00"))
    except ValueError:
        raise ParameterError(f"--date {text!r} is no date of the calendar.") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
