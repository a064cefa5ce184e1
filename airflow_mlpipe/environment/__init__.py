"""The software of a step: what its author asked for, what counts of it, what there is if nothing was asked for."""

from airflow_mlpipe.environment.definition import EnvironmentDefinition
from airflow_mlpipe.environment.installed import LISTING, installed_packages, read_listing
from airflow_mlpipe.environment.loading import load_environment

__all__ = ["LISTING", "EnvironmentDefinition", "installed_packages", "load_environment", "read_listing"]
