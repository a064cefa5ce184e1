"""The raw shapes of jobs that Azure ML knows and that cannot be run here yet: every key is checked and written into the
DAG, a warning says that the job cannot be run, and a run that would need it is refused at its start.

Once one of them can be run, its model moves to :mod:`airflow_mlpipe.spec.job_documents`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from airflow_mlpipe.spec.documents import Entries, Raw, Text, free
from airflow_mlpipe.spec.job_documents import JobKeys

_TERMINATION = "bandit, median_stopping or truncation_selection."


class Sampling(Raw):
    """``sampling_algorithm:`` in its long form."""

    type: Literal["random", "grid", "bayesian"] = Field(description="random, grid or bayesian.")
    seed: int | None = Field(None, description="Of random sampling.")
    rule: Literal["random", "sobol"] | None = Field(None, description="Of random sampling.")
    logbase: Any = free("Of random sampling: a number or 'e'.")


class Objective(Raw):
    """``objective:`` of a sweep."""

    primary_metric: Text = Field(description="Metric that the trials log.")
    goal: Literal["maximize", "minimize"] = Field(description="maximize or minimize.")


class Termination(Raw):
    """``early_termination:``."""

    type: Literal["bandit", "median_stopping", "truncation_selection"] = Field(description=_TERMINATION)
    evaluation_interval: int | None = Field(None, ge=0, description="Metrics between two looks.")
    delay_evaluation: int | None = Field(None, ge=0, description="Metrics before the first look.")
    slack_factor: float | None = Field(None, ge=0, description="Of bandit.")
    slack_amount: float | None = Field(None, ge=0, description="Of bandit.")
    truncation_percentage: int | None = Field(None, ge=1, le=99, description="Of truncation_selection.")


class SweepLimits(Raw):
    """``limits:`` of a sweep."""

    max_total_trials: int | None = Field(None, ge=1, description="Trials.")
    max_concurrent_trials: int | None = Field(None, ge=1, description="Trials at the same time.")
    timeout: float | None = Field(None, gt=0, description="Seconds for the sweep.")
    trial_timeout: float | None = Field(None, gt=0, description="Seconds for a trial.")


class SweepJob(JobKeys):
    """``type: sweep``."""

    trial: Any = free("The component that each trial runs.")
    search_space: Entries | None = Field(None, description="Inputs of the trial and how values are drawn for them.")
    sampling_algorithm: Literal["random", "grid", "bayesian"] | Sampling | None = Field(
        None, description="How values are drawn."
    )
    objective: Objective | None = Field(None, description="Which trial is the best.")
    early_termination: Termination | None = Field(None, description="Which trials are given up.")
    limits: SweepLimits | None = Field(None, description="How many and how long.")


class AutoMLLimits(Raw):
    """``limits:`` of an automl job, of all its tasks."""

    enable_early_termination: bool | None = Field(None, description="Give up when nothing gets better.")
    exit_score: float | None = Field(None, description="Stop when this is reached.")
    max_concurrent_trials: int | None = Field(None, ge=1, description="Trials at the same time.")
    max_cores_per_trial: int | None = Field(None, ge=-1, description="Cores.")
    max_nodes: int | None = Field(None, ge=1, description="Machines.")
    max_trials: int | None = Field(None, ge=1, description="Trials.")
    timeout_minutes: float | None = Field(None, gt=0, description="Minutes for the search.")
    trial_timeout_minutes: float | None = Field(None, gt=0, description="Minutes for a trial.")


class AutoMLJob(JobKeys):
    """``type: automl``, of all tasks."""

    task: Text | None = Field(None, description="classification, regression, forecasting, ...")
    primary_metric: Text | None = Field(None, description="What the best model is best at.")
    log_verbosity: Any = free("How much is logged.")
    environment_id: Any = free("Environment of the trials.")
    target_column_name: Any = free("Column to predict.")
    weight_column_name: Any = free("Column of weights.")
    positive_label: Any = free("Of a classification with two classes.")
    training_data: Any = free("Data to learn from.")
    validation_data: Any = free("Data to choose with.")
    validation_data_size: Any = free("Part of the training data to choose with.")
    test_data: Any = free("Data to test with.")
    test_data_size: Any = free("Part of the training data to test with.")
    cv_split_column_names: Any = free("Columns that say which rows belong to a fold.")
    n_cross_validations: Any = free("Folds.")
    featurization: Any = free("How columns are prepared.")
    forecasting: Any = free("Of a forecast.")
    training: Any = free("Which algorithms are tried.")
    training_parameters: Any = free("Of images and texts.")
    search_space: Any = free("Of images and texts.")
    sweep: Any = free("Of images and texts.")
    limits: AutoMLLimits | None = Field(None, description="How many and how long.")


class SparkEntry(Raw):
    """``entry:`` of a spark job."""

    file: Text | None = Field(None, description="Script.")
    class_name: Text | None = Field(None, description="Class of a jar.")


class SparkJob(JobKeys):
    """``type: spark``."""

    code: Text | None = Field(None, description="Folder with the scripts.")
    entry: SparkEntry | None = Field(None, description="Script or class.")
    args: Any = free("Arguments, with ${{inputs.x}} and ${{outputs.x}}.")
    conf: Entries | None = Field(None, description="Spark's settings.")
    environment: Any = free("azureml:<name>:<version> or a definition.")
    py_files: list[Text] | None = Field(None, description="Python files of the job.")
    jars: list[Text] | None = Field(None, description="Jars of the job.")
    files: list[Text] | None = Field(None, description="Files of the job.")
    archives: list[Text] | None = Field(None, description="Archives of the job.")
    resources: Any = free("instance_type and runtime_version.")


class ImportJob(JobKeys):
    """``type: import``, the older form of ``data_transfer`` with ``task: import_data``."""

    source: Any = free("Database or file system.")
    output: Any = free("Where the data goes.")


LATER_JOBS: dict[str, type[JobKeys]] = {"sweep": SweepJob, "automl": AutoMLJob, "spark": SparkJob, "import": ImportJob}
"""Job type to its model."""
