"""Airflow operators: the steps of a pipeline, and the plan before them."""

from airflow_mlpipe.operators.branch import BranchOperator
from airflow_mlpipe.operators.callbacks import callback
from airflow_mlpipe.operators.command import CommandOperator
from airflow_mlpipe.operators.data_transfer import DataTransferOperator
from airflow_mlpipe.operators.garbage_collection import GarbageCollectionOperator
from airflow_mlpipe.operators.later import AutoMLOperator, ImportOperator, SparkOperator, SweepOperator
from airflow_mlpipe.operators.orphans import OrphanSweepOperator
from airflow_mlpipe.operators.parallel_run import ParallelRunOperator
from airflow_mlpipe.operators.plan import PlanOperator
from airflow_mlpipe.operators.python_script import PythonScriptOperator
from airflow_mlpipe.operators.score import ScoreOperator
from airflow_mlpipe.operators.train import TrainOperator

__all__ = [
    "AutoMLOperator",
    "BranchOperator",
    "CommandOperator",
    "DataTransferOperator",
    "GarbageCollectionOperator",
    "ImportOperator",
    "OrphanSweepOperator",
    "ParallelRunOperator",
    "PlanOperator",
    "PythonScriptOperator",
    "ScoreOperator",
    "SparkOperator",
    "SweepOperator",
    "TrainOperator",
    "callback",
]
