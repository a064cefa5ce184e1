"""From a resolved step to the job that a compute target runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from airflow_mlpipe.compute.base import ComputeTarget, JobSpec
from airflow_mlpipe.compute.job_parts import Carried
from airflow_mlpipe.content.remote import RemoteData
from airflow_mlpipe.errors import DataError
from airflow_mlpipe.execution.bindings import as_text
from airflow_mlpipe.execution.command import input_variable, output_variable, render_arguments, render_command
from airflow_mlpipe.execution.inputs import ResolvedInput
from airflow_mlpipe.execution.machines import job_resources
from airflow_mlpipe.execution.remote import input_right, output_right
from airflow_mlpipe.execution.resolve import ResolvedStep
from airflow_mlpipe.spec.step import ParallelTask, Step
from airflow_mlpipe.tracking.base import JobRecord
from airflow_mlpipe.workspace import Workspace

_DRIVER = Path(__file__).parent.parent / "compute" / "parallel_driver.py"
_DRIVER_NAME = "parallel_driver.py"
_SETTINGS_NAME = "parallel.json"
_ROW_FILE = "parallel_run_step.txt"


@dataclass(frozen=True)
class OutputPlace:
    """Where a step writes an output.

    :param path: in the default datastore.
    :param local: on this machine.
    :param direct: ``local`` is the datastore's own place; otherwise it is scratch, to be uploaded.
    """

    path: str
    local: Path
    direct: bool


def scratch_folder(workspace: Workspace, job: JobRecord) -> Path:
    """Return the folder for passing copies of one job."""
    return workspace.scratch / job.key


def remove_scratch(workspace: Workspace, job: JobRecord) -> None:
    """Drop the passing copies of a job that has ended."""
    shutil.rmtree(scratch_folder(workspace, job), ignore_errors=True)


def output_places(workspace: Workspace, step: Step, job: JobRecord) -> dict[str, OutputPlace]:
    """Return where each output goes: straight into the attempt's prefix if the store lies on this machine."""
    store = workspace.datastore()
    places = {}
    for port in step.outputs:
        path = workspace.reuse.output_path(job.attempt, port)
        direct = store.local_path(path)
        places[port] = OutputPlace(
            path, direct or scratch_folder(workspace, job) / "outputs" / port, direct is not None
        )
    return places


def carried_outputs(workspace: Workspace, step: Step, job: JobRecord) -> list[Carried]:
    """Return the outputs of a job, where they belong here and where the job sees them."""
    target = workspace.compute(job.target)
    return [
        Carried(
            port,
            "output",
            place.local,
            target.seen_as(job.key, "output", port, place.local),
            is_file=step.outputs[port].type == "uri_file",
            remote=output_right(workspace, target, step, port, place.path),
        )
        for port, place in output_places(workspace, step, job).items()
    ]


def build_job(workspace: Workspace, resolved: ResolvedStep, job: JobRecord) -> JobSpec:
    """Return the job of a step: command, variables, folders. Inputs that do not lie on this machine are fetched.

    :raises DataError: if an input changed or vanished since the step was resolved.
    """
    step = resolved.step
    carried = [*_carried_inputs(workspace, resolved, job), *carried_outputs(workspace, step, job)]
    inputs = {port: as_text(value) for port, value in resolved.values.items()}
    inputs |= {item.port: item.there for item in carried if item.role == "input"}
    outputs = {item.port: item.there for item in carried if item.role == "output"}
    variables = {name: as_text(value) for name, value in resolved.variables.items()}
    variables |= {input_variable(port): text for port, text in inputs.items()}
    variables |= {output_variable(port): text for port, text in outputs.items()}
    where = f"step {step.name}, command"
    if step.parallel is not None:
        command, files = _parallel(step, step.parallel, inputs, outputs)
    else:
        command, files = render_command(step.command or "", inputs.keys(), step.inputs.keys(), where), {}
    return JobSpec(
        command=command,
        variables=variables,
        code=resolved.code,
        files=files,
        environment=resolved.environment,
        folders=[_folder(item) for item in carried if item.role == "output"],
        timeout=step.timeout,
        resources=job_resources(step),
        carried=carried,
    )


def _folder(output: Carried) -> str:
    """Return the folder that must exist before the command starts."""
    return str(PurePosixPath(output.there).parent) if output.is_file else output.there


def _carried_inputs(workspace: Workspace, resolved: ResolvedStep, job: JobRecord) -> list[Carried]:
    target = workspace.compute(job.target)
    carried = []
    for port, item in resolved.data.items():
        _verify(workspace, resolved.step, port, item)
        remote = input_right(workspace, target, resolved.step, item)
        if remote is not None:
            _verify(workspace, resolved.step, port, item)  # that the right is for what was verified
            carried.append(_remote_input(target, job, port, scratch_folder(workspace, job), remote))
            continue
        here = _local_input(workspace, port, item, job)
        carried.append(
            Carried(port, "input", here, target.seen_as(job.key, "input", port, here), is_file=here.is_file())
        )
    return carried


def _remote_input(target: ComputeTarget, job: JobRecord, port: str, scratch: Path, remote: RemoteData) -> Carried:
    here = scratch / "inputs" / port
    there = target.seen_as(job.key, "input", port, here)
    place = f"{there}/{remote.files[0].path}" if remote.is_file else there
    return Carried(port, "input", here, place, is_file=remote.is_file, remote=remote)


def _verify(workspace: Workspace, step: Step, port: str, item: ResolvedInput) -> None:
    now = item.current(workspace)
    if now is None or now.digest != item.content.digest:
        raise DataError(
            f"step {step.name}, input {port}: the data at {item.origin} is not what was recorded; "
            "it was changed or damaged. "
            "Clear the step that makes it, or run the pipeline again."
        )


def _local_input(workspace: Workspace, port: str, item: ResolvedInput, job: JobRecord) -> Path:
    if item.datastore is None:
        store, direct = None, Path(item.path)
    else:
        store = workspace.datastore(item.datastore)
        found = store.local_path(item.path)
        if found is None:
            return fetch_input(workspace, port, item, job)
        direct = found
    return direct if item.include is None else fetch_input(workspace, port, item, job)


def fetch_input(workspace: Workspace, port: str, item: ResolvedInput, job: JobRecord) -> Path:
    """Copy an input to scratch, only the files that belong to it, and return where it lies.

    :raises DataError: if the copy is not what was resolved.
    """
    to = scratch_folder(workspace, job) / "inputs" / port
    if to.exists():
        shutil.rmtree(to) if to.is_dir() else to.unlink()
    to.parent.mkdir(parents=True, exist_ok=True)
    if item.datastore is None:
        raise DataError(f"input {port}: 'partitions' need data in a datastore, not the local path {item.path}.")
    manifest = workspace.datastore(item.datastore).download(item.path, to, item.include)
    if not item.is_copied_by(manifest, workspace):
        raise DataError(
            f"input {port}: the data at {item.origin} changed while it was fetched. Retry when it is at rest."
        )
    return to


def _row_file(step: Step, task: ParallelTask, outputs: Mapping[str, str]) -> str | None:
    if task.append_row_to is None:
        return None
    place = outputs[task.append_row_to]
    return place if step.outputs[task.append_row_to].type == "uri_file" else f"{place}/{_ROW_FILE}"


def _parallel(
    step: Step, task: ParallelTask, inputs: Mapping[str, str], outputs: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    where = f"step {step.name}, program_arguments"
    values = {f"inputs.{port}": text for port, text in inputs.items()} | {
        f"outputs.{port}": text for port, text in outputs.items()
    }
    settings = {
        "entry_script": task.entry_script,
        "input": inputs[task.input],
        "arguments": render_arguments(task.program_arguments, values, step.inputs.keys(), where),
        "mini_batch_size": task.mini_batch_size,
        "processes": task.max_concurrency,
        "max_retries": task.max_retries,
        "timeout": task.timeout,
        "error_threshold": task.error_threshold,
        "mini_batch_error_threshold": task.mini_batch_error_threshold,
        "append_row_file": _row_file(step, task, outputs),
    }
    command = f'python "${{MLPIPE_JOB_DIR}}/{_DRIVER_NAME}" "${{MLPIPE_JOB_DIR}}/{_SETTINGS_NAME}"'
    return command, {_DRIVER_NAME: _DRIVER.read_text(encoding="utf-8"), _SETTINGS_NAME: json.dumps(settings, indent=1)}
