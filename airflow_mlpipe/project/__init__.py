"""``mlpipe.toml``: a repository of many pipelines, and what differs between its environments."""

from airflow_mlpipe.project.loading import FILE_NAME, Project, find_project, load_project
from airflow_mlpipe.project.overlay import Overlay

__all__ = ["FILE_NAME", "Overlay", "Project", "find_project", "load_project"]
