"""The raw shapes of a pipeline inside another one: the job, and the component that it names."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from airflow_mlpipe.spec.documents import Entries, Settings, Text, ignored, refused
from airflow_mlpipe.spec.job_documents import AnyComponent, JobKeys


class PipelineJob(JobKeys):
    """``type: pipeline`` within ``jobs``."""

    settings: Settings | None = Field(None, description="Defaults of the jobs inside.")
    display_name: Any = ignored("a group is shown under its key in 'jobs'.")
    description: Any = ignored("a group is shown without words.")
    environment_variables: Any = refused("write them at the jobs of the component.")
    resources: Any = refused("write them at the jobs of the component.")
    jobs: Any = refused("write 'component: {type: pipeline, inputs, outputs, jobs}', or a file of its own.")


class PipelineComponent(AnyComponent):
    """A component with ``type: pipeline``; a whole pipeline file serves as well."""

    name: Any = ignored("a group is shown under its key in 'jobs'.")
    version: Any = ignored("a pipeline counts by its steps.")
    display_name: Any = ignored("a group is shown under its key in 'jobs'.")
    description: Any = ignored("a group is shown without words.")
    jobs: Entries = Field(description="The jobs, by name.", min_length=1)
    settings: Settings | None = Field(None, description="Defaults of the jobs inside.")
    compute: Text | None = Field(None, description="Compute target of jobs that name none.")
    airflow: Any = ignored("schedule, owner and the like are those of the pipeline that uses this one.")
    experiment_name: Any = ignored("runs are grouped by pipeline.")
    identity: Any = ignored("a job runs under the account of its compute target.")
