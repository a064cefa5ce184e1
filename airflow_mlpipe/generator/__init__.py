"""Pipelines to DAG files: spec, plan of literals, text, file. Nothing here imports Airflow."""

from airflow_mlpipe.generator.build import Builder, build
from airflow_mlpipe.generator.check import Loader
from airflow_mlpipe.generator.drift import DagFile, cause, diff, orphans
from airflow_mlpipe.generator.fleet import Findings, Fleet, Target
from airflow_mlpipe.generator.render import Renderer
from airflow_mlpipe.generator.write import is_current, write_file

__all__ = [
    "Builder",
    "DagFile",
    "Findings",
    "Fleet",
    "Loader",
    "Renderer",
    "Target",
    "build",
    "cause",
    "diff",
    "is_current",
    "orphans",
    "write_file",
]
