"""The keys of ``mlpipe.toml``; one that is not here is an error."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from airflow_mlpipe.spec.documents import Raw, Text, free


class OverlayKeys(Raw):
    """What an environment may say of pipelines, in ``[environments.<name>]`` or below it for a single pipeline."""

    schedule: Any = free("Cron text, a preset or a table as in pipeline files; false for none.")
    compute: Any = free("A compute target for every job, or a table: the target of the file = the one to take.")
    datastore: dict[str, Text] = Field(default_factory=dict, description="Datastore of the file = the one to take.")
    pool: Any = free("A pool for every job, or a table: the pool of the file = the one to take.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Defaults of scalar inputs.")
    tags: list[Text] = Field(default_factory=list, description="Further tags of the DAGs.")


class EnvironmentKeys(OverlayKeys):
    """``[environments.<name>]``."""

    output: Text | None = Field(None, description="Folder of the DAG files.")
    workspace: Text | None = Field(None, description="Workspace file.")
    dag_id_prefix: str = Field("", description="Goes before every DAG id.")
    dag_id_suffix: str = Field("", description="Goes after every DAG id.")
    pipelines: dict[str, OverlayKeys] = Field(
        default_factory=dict, description="For single pipelines, by name; goes before what the environment says."
    )


class ProjectKeys(Raw):
    """The top of ``mlpipe.toml``."""

    paths: list[Text] = Field(default_factory=lambda: ["."], min_length=1, description="Pipeline files and folders.")
    output: Text | None = Field(None, description="Folder of the DAG files.")
    templates: Text | None = Field(None, description="Folder of your own DAG templates.")
    workspace: Text | None = Field(None, description="Workspace file.")
    environments: dict[str, EnvironmentKeys] = Field(default_factory=dict, description="Environments by name.")
