"""Pipelines to DAG files: spec, plan of literals, text, file. Nothing here imports Airflow."""

from airflow_mlpipe.generator.build import build
from airflow_mlpipe.generator.check import load_errors
from airflow_mlpipe.generator.drift import DagFile, cause, diff, orphans
from airflow_mlpipe.generator.render import Renderer
from airflow_mlpipe.generator.write import is_current, write_file

__all__ = ["DagFile", "Renderer", "build", "cause", "diff", "is_current", "load_errors", "orphans", "write_file"]
