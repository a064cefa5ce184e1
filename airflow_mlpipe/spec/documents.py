"""The raw shapes of the YAML: Azure ML CLI v2's pipeline job, its jobs and components, and the ``airflow:`` blocks.

Every key that Azure ML knows is here. :func:`ignored` marks one that changes no result and is named in a warning,
:func:`refused` one without which the result would differ; a key that is not here is nobody's and an error.
Keys, defaults and meanings: the CLI v2 schema of azure-ai-ml (``reference-yaml-job-pipeline``, ``-component-command``).
Values of type ``Any`` have several forms; they are read by the modules that know what they mean.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from airflow_mlpipe.spec.machines import DistributionType
from airflow_mlpipe.spec.model import Template
from airflow_mlpipe.spec.step import DataType, Identity, ScalarType

Text = Annotated[str, StringConstraints(min_length=1)]
AssetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=255)]
OutputName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:[A-Za-z0-9_]|\$\{\{ *inputs\.[A-Za-z0-9_]+ *\}\})"
        r"(?:[A-Za-z0-9_.\-]|\$\{\{ *inputs\.[A-Za-z0-9_]+ *\}\})*$",
        max_length=255,
    ),
]
Mode = Literal["ro_mount", "rw_mount", "download", "direct", "eval_mount", "eval_download"]
OutputMode = Literal["rw_mount", "upload", "direct"]
Entries = dict[str, Any]


class Raw(BaseModel):
    """Frozen; no value is converted, no unknown key accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True, allow_inf_nan=False)


def ignored(reason: str) -> Any:
    """Declare a key of Azure ML that is read and named in a warning; the results stay the same."""
    return Field(None, description=f"Not used: {reason}", json_schema_extra={"ignored": reason, "deprecated": True})


def refused(reason: str) -> Any:
    """Declare a key of Azure ML that is an error, because the result would differ without it."""
    return Field(
        None, description=f"Not supported: {reason}", json_schema_extra={"refused": reason, "deprecated": True}
    )


def free(description: str) -> Any:
    """Declare an optional key with several forms."""
    return Field(None, description=description)


class Settings(Raw):
    """``settings:`` of a pipeline."""

    default_compute: Text | None = Field(None, description="Compute target of jobs that name none: azureml:<name>.")
    default_datastore: Text | None = Field(None, description="Results go to the workspace's default datastore.")
    continue_on_step_failure: bool | None = Field(
        None, description="Jobs that do not depend on a failed one go on; always so here."
    )
    force_rerun: bool = Field(False, description="true: no job of this pipeline is ever reused.")
    continue_run_on_failed_optional_input: Any = ignored("an optional input whose job failed is never waited for.")
    on_init: Any = refused("write it as a first job, with 'airflow: {run_after: [...]}' on the others.")
    on_finalize: Any = refused("write it as a last job with 'airflow: {run_after: [...]}'.")


class DateKeys(Raw):
    """``airflow: {params: {<input>: ...}}``: an input of type string that is a date."""

    format: Literal["date", "date-time"] = Field(description="date: 2013-02-01; date-time: 2013-02-01T06:00:00Z.")
    min: Any = free("First allowed date, of a date only.")
    max: Any = free("Last allowed date, of a date only.")


class AirflowKeys(Raw):
    """``airflow:`` at the top: what Azure ML has no word for."""

    schedule: Any = free(
        "cron text, @monthly, {type: cron, expression, time_zone} or {type: recurrence, frequency, interval}."
    )
    start_date: Any = free("First date, 2013-02-01 or 2013-02-01T06:00:00.")
    end_date: Any = free("Last date.")
    catchup: bool = Field(False, description="Run the periods between start_date and now.")
    max_active_runs: int | None = Field(None, ge=1, description="Runs at the same time.")
    owner: Text | None = Field(None, description="Owner shown in Airflow.")
    tags: list[Text] = Field(default_factory=list, description="Tags of the DAG.")
    retries: int | None = Field(
        None, ge=0, description="Further tries of a task; a retry adopts a job that still runs."
    )
    retry_delay: Any = free("Between tries: seconds, or text such as 30s, 5m, 1h.")
    pool: Text | None = Field(None, description="Airflow pool.")
    queue: Text | None = Field(None, description="Airflow queue.")
    on_failure: Any = free("Function to call when a run has failed, 'module.function'.")
    on_success: Any = free("Function to call when a run has succeeded, 'module.function'.")
    params: Entries = Field(default_factory=dict, description="Inputs that are dates, by name.")
    template: Template = Field("general", description="Template of the DAG file.")
    dag_id: Text | None = Field(None, description="Name of the DAG; without it the pipeline's name.")


class PartitionKeys(Raw):
    """``airflow: {partitions: {<input>: ...}}`` of a job."""

    files: Text = Field(description="Relative path with strftime fields, flights-%Y-%m.csv.")
    every: Literal["hour", "day", "week", "month", "year"] = Field("month", description="Length of a period.")
    anchor: Text = Field("${{airflow.data_interval_start}}", description="A date or an expression that gives one.")
    count: Any = Field(1, description="Number of periods that end with the anchor's, or an expression.")
    ahead: Any = Field(0, description="Further periods after the anchor's, or an expression.")


class JobAirflowKeys(Raw):
    """``airflow:`` of a job."""

    run_after: list[Text] = Field(default_factory=list, description="Jobs that must end first although no data flows.")
    retries: int | None = Field(None, ge=0, description="Further tries of the task.")
    retry_delay: Any = free("Between tries: seconds, or text such as 30s, 5m, 1h.")
    pool: Text | None = Field(None, description="Airflow pool.")
    queue: Text | None = Field(None, description="Airflow queue.")
    priority_weight: int | None = Field(None, description="Airflow priority.")
    execution_timeout: Any = free("Airflow ends the task after this: seconds or text such as 2h.")
    on_failure: Any = free("Function to call when the task has failed, 'module.function'.")
    on_success: Any = free("Function to call when the task has succeeded; a reused step is skipped and calls none.")
    on_retry: Any = free("Function to call when the task is tried again, 'module.function'.")
    partitions: Entries = Field(default_factory=dict, description="Which files of an input belong to a run.")
    identity: dict[str, Identity] = Field(
        default_factory=dict, description="How an input counts for reuse: by bytes, by markers, or not at all."
    )
    include: dict[str, list[Text]] = Field(
        default_factory=dict, description="Of a data transfer: patterns of the files of an input to copy, '*.csv'."
    )
    exclude: dict[str, list[Text]] = Field(
        default_factory=dict, description="Of a data transfer: patterns of the files of an input to leave out."
    )
    optional_inputs: list[Text] = Field(default_factory=list, description="Inputs that may be absent.")
    optional_outputs: list[Text] = Field(default_factory=list, description="Outputs that may stay empty.")
    allow_reuse: bool = Field(True, description="false: never reused.")
    reuse_version: str = Field("", description="Any text; changing it disowns earlier results.")
    ttl: Any = free("A result older than this is not reused: seconds or text such as 7d.")


class InputKeys(Raw):
    """A declared input of a pipeline or a component, and the long form of a job's data input."""

    type: Any = free("Data or scalar type.")
    path: Text | None = Field(
        None, description="Local path, azureml://datastores/<name>/paths/<path>, azureml:<name>:<version>."
    )
    mode: Mode | None = Field(None, description="How the job reaches the data.")
    default: Any = free("Value when none is given.")
    min: int | float | None = Field(None, description="Smallest allowed number.")
    max: int | float | None = Field(None, description="Largest allowed number.")
    enum: list[Any] = Field(default_factory=list, description="The only allowed values.")
    optional: bool = Field(False, description="May be absent.")
    description: str = Field("", description="Shown to people.")
    is_control: Any = free("Any scalar input may take part in a condition, with or without this key.")
    datastore: Any = ignored("the datastore is part of the path.")
    intellectual_property: Any = ignored("nothing is published.")


class OutputKeys(Raw):
    """A declared or bound output."""

    type: DataType | ScalarType | None = Field(
        None, description="Data type; or the type of a value that the job writes to the file, as text."
    )
    mode: OutputMode | None = Field(None, description="How the job writes.")
    name: OutputName | None = Field(
        None,
        description="Registers the output under this name; models as models, all else as datasets. "
        "'${{inputs.<input>}}' in it gives way to text that the job gives for that input.",
    )
    path: Any = free(
        "'${{parent.outputs.<name>}}': results lie in the store of the workspace, under a fresh path per attempt. A "
        "data transfer may name a folder to export to, azureml://datastores/<name>/paths/<folder>."
    )
    description: Any = ignored("an output needs no words.")
    version: Any = refused("versions are numbered by the registry; drop it.")
    is_control: Any = free("Any output with a scalar type may decide a condition, with or without this key.")
    intellectual_property: Any = ignored("nothing is published.")
    early_available: Any = refused("an output is available when its job has ended.")


class Limits(Raw):
    """``limits:`` of a command job."""

    timeout: float | None = Field(None, gt=0, description="Seconds for the job.")


class Resources(Raw):
    """``resources:`` of a job."""

    instance_count: int | None = Field(None, ge=1, description="Machines; default 1.")
    instance_type: Any = ignored("the compute target decides the machine.")
    shm_size: Any = ignored("no container is started.")
    docker_args: Any = ignored("no container is started.")
    properties: Any = free("cpus, memory (16g) and gpus on each machine.")
    locations: Any = ignored("the compute target decides the machine.")
    max_instance_count: Any = ignored("the compute target decides the machine.")


class DistributionKeys(Raw):
    """``distribution:`` of a command job: one command, started as several processes."""

    type: DistributionType = Field(description="How the processes find each other.")
    process_count_per_instance: int | None = Field(None, ge=1, description="Processes on each machine; default 1.")
    worker_count: Any = refused("one worker runs for each process; use 'process_count_per_instance'.")
    parameter_server_count: Any = refused("parameter servers are not supported.")
    port: Any = ignored("the compute target chooses the port.")
    address: Any = refused("a running cluster is a compute target of its own, of type ray.")
    include_dashboard: Any = ignored("the compute target decides about the dashboard.")
    dashboard_port: Any = ignored("the compute target decides about the dashboard.")
    head_node_additional_args: Any = refused("arguments of the cluster belong to the compute target.")
    worker_node_additional_args: Any = refused("arguments of the cluster belong to the compute target.")


class RetrySettings(Raw):
    """``retry_settings:`` of a parallel job."""

    max_retries: int = Field(2, ge=0, description="Further tries of a mini-batch.")
    timeout: float = Field(60, gt=0, description="Seconds for one mini-batch.")


class EnvironmentKeys(Raw):
    """An environment written in place."""

    conda_file: Any = free("Path of a conda file, or its content.")
    pip_requirements: Any = free("Path of a requirements file, or a list of requirements.")
    image: Text | None = Field(None, description="Container image, for compute targets that run containers.")
    build: Any = refused("images are not built here; name an image, a conda file or pip requirements.")
    name: Any = ignored("an environment written in place counts by content.")
    version: Any = ignored("an environment written in place counts by content.")
    description: Any = ignored("an environment needs no words.")
    tags: Any = ignored("an environment written in place has no tags.")
    os_type: Any = ignored("jobs run on Linux.")
    inference_config: Any = ignored("it serves deployments only.")
    id: Any = ignored("an environment written in place counts by content.")
    datastore: Any = ignored("files are taken from beside the pipeline.")
    auto_delete_setting: Any = ignored("nothing is published.")
