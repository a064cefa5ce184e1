"""The raw shapes of jobs, components and the pipeline itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from airflow_mlpipe.spec.documents import (
    AirflowKeys,
    AssetName,
    DistributionKeys,
    Entries,
    JobAirflowKeys,
    Limits,
    Raw,
    Resources,
    RetrySettings,
    Settings,
    Text,
    free,
    ignored,
    refused,
)
from airflow_mlpipe.spec.step import CopyMode


class JobKeys(Raw):
    """What every job may say."""

    type: Text | None = Field(None, description="command, parallel or data_transfer.")
    component: Any = free("File with the component, ./train.yml.")
    inputs: Entries | None = Field(None, description="Values and data, by port.")
    outputs: Entries | None = Field(None, description="Outputs, by port.")
    compute: Text | None = Field(None, description="Compute target of this job: azureml:<name>.")
    environment_variables: Entries | None = Field(None, description="Environment variables of the job.")
    resources: Resources | None = Field(None, description="Machines.")
    is_deterministic: bool = Field(True, description="false: never reused.")
    airflow: JobAirflowKeys | None = Field(None, description="What Airflow and reuse need to know.")
    schema_url: Any = Field(None, alias="$schema", description="Schema of the file; for editors.")
    name: Any = ignored("a job is named by its key under 'jobs'.")
    version: Any = ignored("a job has no version.")
    display_name: Text | None = Field(None, description="Shown in Airflow in place of the name.")
    description: Text | None = Field(None, description="Shown in Airflow as the task's documentation.")
    comment: Any = ignored("write a comment of YAML.")
    tags: Any = ignored("jobs have no tags.")
    properties: Any = ignored("jobs have no properties.")
    experiment_name: Any = ignored("runs are grouped by pipeline.")
    identity: Any = ignored("a job runs under the account of its compute target.")
    services: Any = ignored("no interactive services are started.")
    queue_settings: Any = ignored("the compute target decides the queue; see 'airflow: {queue}'.")


class CommandJob(JobKeys):
    """``type: command``."""

    command: Text | None = Field(
        None, description="Shell text with ${{inputs.x}}, ${{outputs.x}} and optional $[[...]]."
    )
    code: Text | None = Field(None, description="Folder with the scripts, ./src.")
    environment: Any = free("azureml:<name>:<version>, or {conda_file}, {pip_requirements}, {image}.")
    additional_includes: list[Text] = Field(
        default_factory=list, description="Further files and folders that belong to the code."
    )
    limits: Limits | None = Field(None, description="Time limit.")
    distribution: DistributionKeys | None = Field(None, description="Several processes.")
    parent_job_name: Any = ignored("a job belongs to the pipeline that holds it.")


class ParallelTaskKeys(Raw):
    """``task:`` of a parallel job."""

    type: Text = Field(description="run_function.")
    code: Text | None = Field(None, description="Folder with the scripts.")
    entry_script: Text = Field(description="Script with init(), run(mini_batch) and shutdown().")
    program_arguments: str = Field("", description="Arguments of the script, with ${{inputs.x}} and ${{outputs.x}}.")
    append_row_to: Text | None = Field(None, description="${{outputs.<port>}}: gets every returned row.")
    environment: Any = free("azureml:<name>:<version>, or {conda_file}, {pip_requirements}, {image}.")
    model: Any = refused("only 'type: run_function' is supported; load the model in init().")


class ParallelSettings(Raw):
    """What a parallel job and a parallel component both may say; the job wins."""

    input_data: Text | None = Field(None, description="${{inputs.<port>}}: the files to cut into mini-batches.")
    mini_batch_size: Any = free("Files per mini-batch, default 10.")
    error_threshold: int | None = Field(None, ge=-1, description="Files that may fail; -1 ignores all failures.")
    mini_batch_error_threshold: int | None = Field(
        None, ge=-1, description="Mini-batches that may fail; -1 ignores all."
    )
    max_concurrency_per_instance: int | None = Field(None, ge=1, description="Processes; default: the number of cores.")
    retry_settings: RetrySettings | None = Field(None, description="Retries and time of a mini-batch.")
    logging_level: Any = ignored("the script's own log is shown whole.")
    partition_keys: Any = refused("mini-batches are cut by number of files; use 'mini_batch_size'.")


class ParallelJob(JobKeys, ParallelSettings):
    """``type: parallel``."""

    task: ParallelTaskKeys | None = Field(None, description="What runs on a mini-batch.")
    environment: Any = refused("write it under 'task'.")
    additional_includes: list[Text] = Field(
        default_factory=list, description="Further files and folders that belong to the code."
    )
    limits: Limits | None = Field(None, description="Time limit.")


class DataTransferJob(JobKeys):
    """``type: data_transfer``."""

    task: Text | None = Field(None, description="copy_data.")
    data_copy_mode: CopyMode | None = Field(
        None, description="What happens when two inputs hold the same file, or the destination has another one."
    )
    component: Any = refused("write the copy in place; components of this type are not supported yet.")
    compute: Any = ignored("the worker copies; no compute target is needed.")
    environment_variables: Any = ignored("no script runs.")
    source: Any = refused("only 'task: copy_data' is supported.")
    sink: Any = refused("only 'task: copy_data' is supported.")


class AnyComponent(Raw):
    """What a component file of any type may say."""

    type: Text | None = Field(None, description="command, parallel or pipeline.")
    schema_url: Any = Field(None, alias="$schema", description="Schema of the file; for editors.")
    name: AssetName | None = Field(None, description="Named in Airflow; does not count for reuse.")
    version: Any = free("Named in Airflow; does not count for reuse.")
    display_name: Text | None = Field(None, description="Shown in Airflow in place of the job's name.")
    description: str | None = Field(None, description="Shown in Airflow as the task's documentation.")
    tags: Any = ignored("components have no tags.")
    properties: Any = ignored("components have no properties.")
    id: Any = ignored("a component is known by its file or its name.")
    intellectual_property: Any = ignored("nothing is published.")
    auto_delete_setting: Any = ignored("nothing is published.")
    is_deterministic: bool = Field(True, description="false: never reused.")
    inputs: Entries | None = Field(None, description="Typed inputs.")
    outputs: Entries | None = Field(None, description="Outputs.")


class ComponentKeys(AnyComponent):
    """What a component file says of one job."""

    queue_settings: Any = ignored("the compute target decides the queue; see 'airflow: {queue}'.")
    resources: Resources | None = Field(None, description="Machines.")
    additional_includes: list[Text] = Field(
        default_factory=list, description="Further files and folders that belong to the code."
    )
    environment_variables: Entries | None = Field(None, description="Environment variables of the job.")


class CommandComponent(ComponentKeys):
    """A component file with ``type: command``."""

    command: Text = Field(description="Shell text with ${{inputs.x}}, ${{outputs.x}} and optional $[[...]].")
    code: Text | None = Field(None, description="Folder with the scripts, relative to the component file.")
    environment: Any = free("azureml:<name>:<version>, or {conda_file}, {pip_requirements}, {image}.")
    limits: Limits | None = Field(None, description="Time limit.")
    distribution: DistributionKeys | None = Field(None, description="Several processes.")


class ParallelComponent(ComponentKeys, ParallelSettings):
    """A component file with ``type: parallel``."""

    task: ParallelTaskKeys = Field(description="What runs on a mini-batch.")


class PipelineDocument(Raw):
    """The pipeline file."""

    type: Literal["pipeline"] = Field(description="pipeline.")
    schema_url: Any = Field(None, alias="$schema", description="Schema of the file; for editors.")
    name: Text | None = Field(None, description="Name of the pipeline, used as dag id.")
    display_name: Text | None = Field(None, description="Shown to people.")
    description: str = Field("", description="Shown in Airflow.")
    tags: Entries | None = Field(None, description="Names and values, shown to people.")
    compute: Text | None = Field(None, description="Compute target of jobs that name none.")
    settings: Settings | None = Field(None, description="Defaults of the pipeline.")
    inputs: Entries | None = Field(None, description="Data and typed parameters.")
    outputs: Entries | None = Field(None, description="Outputs of the pipeline, written by its jobs.")
    jobs: Entries = Field(description="The jobs, by name.", min_length=1)
    airflow: AirflowKeys | None = Field(None, description="What Azure ML has no word for: schedule, retries, owner.")
    experiment_name: Any = ignored("runs are grouped by pipeline.")
    identity: Any = ignored("a job runs under the account of its compute target.")
    properties: Any = ignored("a pipeline has no properties.")
    notification_settings: Any = ignored("use Airflow's callbacks.")
    services: Any = ignored("no interactive services are started.")
    queue_settings: Any = ignored("the compute target decides the queue.")
    component: Any = refused("write the jobs in this file; registered pipeline components are not supported yet.")
