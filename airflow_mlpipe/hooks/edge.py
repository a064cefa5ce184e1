"""What every task of this package needs where it meets Airflow. Cheap to import: every DAG file does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_mlpipe.errors import (
    ConfigError,
    EnvironmentBuildError,
    MLPipeError,
    ParameterError,
    SpecError,
    SubmitRejectedError,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

DEFAULT_CONN_ID = "mlpipe_default"
_FINAL = (SpecError, ConfigError, ParameterError, SubmitRejectedError, EnvironmentBuildError)


def for_airflow(error: MLPipeError) -> AirflowException:
    """Return the exception that Airflow shall see: a user's mistake is not retried, anything else is."""
    return AirflowFailException(str(error)) if isinstance(error, _FINAL) else AirflowException(str(error))


def dag_folder(task: BaseOperator) -> Path:
    """Return the folder of the DAG file, where relative paths start; the current folder for a task without a DAG."""
    dag = task.dag if task.has_dag() else None
    return Path(dag.fileloc).parent if dag is not None and dag.fileloc else Path.cwd()
