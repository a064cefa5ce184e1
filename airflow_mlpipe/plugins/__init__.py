"""What Airflow's API server serves for us (entry point ``airflow.plugins``).

Every process of Airflow imports this, tasks too, so it holds nothing but a name and an app that is built when it is
called first.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_mlpipe.plugins.lazy_app import LazyApp

PREFIX = "/mlpipe"
"""Where the app is mounted."""


class MLPipePlugin(AirflowPlugin):
    """Adds the routes that take Azure ML's calls; each needs a login and the permission of the DAG."""

    name = "airflow_mlpipe"
    fastapi_apps: list[Any] = [  # noqa: RUF012 - Airflow's own way to declare them
        {"app": LazyApp("airflow_mlpipe.plugins.submit"), "url_prefix": PREFIX, "name": "MLPipe"}
    ]
