"""Azure ML's schedule files: a trigger, and the pipeline file that it starts, with settings and inputs of its own.

What comes out is the pipeline under the name of the schedule, so a pipeline may have any number of schedules beside it.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import AssetName, Entries, Raw, Settings, Text, free, ignored, refused
from airflow_mlpipe.spec.paths import Source, data_path
from airflow_mlpipe.spec.ports import DataPort, Port, ScalarPort, typed
from airflow_mlpipe.spec.schedules import read_trigger
from airflow_mlpipe.spec.structure import describe, known, validate


class CreateJob(Raw):
    """``create_job:`` in its long form."""

    type: Text | None = Field(None, description="pipeline.")
    job: Any = free("The pipeline file, ./pipeline.yml.")
    inputs: Entries | None = Field(None, description="Values and data in place of the pipeline's own.")
    settings: Settings | None = Field(None, description="Settings in place of the pipeline's own.")
    compute: Text | None = Field(None, description="Compute target of jobs that name none.")
    display_name: Text | None = Field(None, description="Shown in Airflow in place of the pipeline's.")
    description: str | None = Field(None, description="Shown in Airflow in place of the pipeline's.")
    tags: Entries | None = Field(None, description="Beside those of the pipeline.")
    outputs: Any = refused("results lie in the store of the workspace, under a fresh path per attempt; drop it.")
    name: Any = ignored("runs are named by Airflow.")
    experiment_name: Any = ignored("runs are grouped by pipeline.")
    identity: Any = ignored("a job runs under the account of its compute target.")
    properties: Any = ignored("a pipeline has no properties.")
    services: Any = ignored("no interactive services are started.")


class ScheduleDocument(Raw):
    """A schedule file."""

    schema_url: Any = Field(None, alias="$schema", description="Schema of the file; for editors.")
    name: AssetName | None = Field(None, description="Name of the schedule, used as dag id; default: the file's name.")
    display_name: Text | None = Field(None, description="Shown in Airflow.")
    description: str | None = Field(None, description="Shown in Airflow.")
    tags: Entries | None = Field(None, description="Beside those of the pipeline.")
    trigger: Any = free("{type: cron, expression} or {type: recurrence, frequency, interval}, with time_zone.")
    create_job: Any = free("A pipeline file, or {type: pipeline, job: ./pipeline.yml, inputs, settings}.")
    properties: Any = ignored("a schedule has no properties.")
    id: Any = ignored("a schedule is known by its name.")
    import_data: Any = refused("data import is not supported; copy data with a data_transfer job in a pipeline.")
    create_monitor: Any = refused("monitors are not supported; write a pipeline that looks at the data.")


@dataclass(frozen=True)
class Overrides:
    """What a schedule says in place of the pipeline's own words.

    :param source: the schedule's ``create_job``.
    :param name: of the schedule.
    """

    source: Source
    keys: ScheduleDocument = field(default_factory=ScheduleDocument)
    job: CreateJob = field(default_factory=CreateJob)
    name: str = ""

    @property
    def given(self) -> frozenset[str]:
        """The inputs that it gives."""
        return frozenset(self.job.inputs or {})

    def apply(self, inputs: dict[str, Port | None], base: str, faults: Faults) -> dict[str, Port | None]:
        """Return a pipeline's inputs with the values of the schedule in place of the defaults.

        :param base: the folder of this file, relative to the pipeline's.
        """
        here = Source(self.source.place, base, self.source.folder)
        result = dict(inputs)
        for name, value in (self.job.inputs or {}).items():
            place = here.place / "inputs" / name
            if name not in inputs:
                text = f"the pipeline has no input '{name}'.{known(name, list(inputs))}"
                faults.add(place, "MLP101", text, of_key=True)
            result[name] = _given(inputs.get(name), value, here, place, faults)
        return result


def _given(port: Port | None, value: Any, source: Source, place: Place, faults: Faults) -> Port | None:
    if isinstance(port, ScalarPort) and not isinstance(value, dict | list):
        default = typed(port.parameter, value, place, faults)
        return ScalarPort(replaced(port.parameter, default=default))
    if isinstance(port, DataPort) and isinstance(value, dict) and isinstance(value.get("path"), str):
        for key in sorted(set(value) - {"type", "path", "mode"}):
            faults.add_unknown_key(place / key, " Known keys: mode, path, type.")
        path = data_path(value["path"], source, place / "path", faults)
        return DataPort(port.type, value.get("mode") or port.mode, port.is_optional, path)
    if port is not None:
        wanted = "{path: ...}, data" if isinstance(port, DataPort) else f"a value of type {port.parameter.type}"
        faults.add(place, "MLP106", f"must be {wanted}, got {describe(value)}.")
    return port


def is_schedule(data: dict[str, Any]) -> bool:
    """Return whether a document is a schedule."""
    return "trigger" in data or "create_job" in data or _schema_of(data).startswith("schedule.")


def refuse_deployment(data: dict[str, Any], place: Place, faults: Faults) -> bool:
    """Refuse a deployment of a batch endpoint by name; return whether the document is one."""
    if "endpoint_name" not in data and "deployment" not in _schema_of(data).lower():
        return False
    advice = "name its pipeline component's file in a pipeline, or publish the pipeline"
    faults.add(place, "MLP026", f"this is a deployment for a batch endpoint, which is not supported; {advice}.")
    return True


def _schema_of(data: dict[str, Any]) -> str:
    schema = data.get("$schema")
    return posixpath.basename(schema) if isinstance(schema, str) else ""


def read_schedule(data: dict[str, Any], source: Source, stem: str, faults: Faults) -> tuple[Overrides, str] | None:
    """Read a schedule file; ``None`` if it names no pipeline file that could be read.

    :param stem: the name of the file, without suffix.
    :returns: what it says, and the pipeline file, relative to the schedule's folder.
    """
    place = source.place
    keys = validate(ScheduleDocument, data, place, faults)
    if keys is None or keys.import_data is not None or keys.create_monitor is not None:
        return None
    for key in ("trigger", "create_job"):
        if key not in data:
            faults.add(place, "MLP022", f"the key '{key}' is missing.", of_key=True)
    read_trigger(keys.trigger, place / "trigger", faults)
    here = place / "create_job"
    written = keys.create_job
    job = CreateJob(job=written) if isinstance(written, str) else None
    if written is not None and job is None:
        job = validate(CreateJob, written, here, faults)
    where = here if isinstance(written, str) else here / "job"
    path = _pipeline_file(job, source, where, faults) if job is not None else None
    if job is None or path is None:
        return None
    if job.type not in (None, "pipeline"):
        text = f"jobs of type '{job.type}' are not supported here: only pipelines are scheduled; make it one."
        faults.add(here / "type", "MLP026", text)
    return Overrides(Source(here, "", source.folder), keys, job, keys.name or stem), path


def _pipeline_file(job: CreateJob, source: Source, place: Place, faults: Faults) -> str | None:
    if not isinstance(job.job, str):
        text = f"must be a pipeline file, ./pipeline.yml, got {describe(job.job)}."
        faults.add(place, "MLP022" if job.job is None else "MLP023", text, of_key=job.job is None)
        return None
    if job.job.startswith("azureml:"):
        faults.add(place, "MLP026", f"'{job.job}' is a job of an Azure workspace; name the pipeline's file.")
        return None
    return source.existing(job.job.removeprefix("file:"), place, "file", faults)
