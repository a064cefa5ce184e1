"""The software of a step: what its author asked for, what counts of it, what there is if nothing was asked for."""

from airflow_mlpipe.environment.definition import EnvironmentDefinition
from airflow_mlpipe.environment.installed import installed_packages, listing_command, read_listing
from airflow_mlpipe.environment.loading import load_environment

__all__ = ["EnvironmentDefinition", "installed_packages", "listing_command", "load_environment", "read_listing"]
