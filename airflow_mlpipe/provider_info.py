"""What Airflow is told about this provider (entry point ``apache_airflow_provider``).

Airflow reads this whenever it is imported, so nothing is imported here and every word is checked by a test against
Airflow's own schema: a mistake would break ``import airflow`` for the whole installation.
"""

from __future__ import annotations

from typing import Any

_NAME = "Machine learning pipelines"
_OPERATORS = (
    "command",
    "data_transfer",
    "garbage_collection",
    "parallel_run",
    "plan",
    "python_script",
    "score",
    "train",
)

_WORKSPACE_EXAMPLE = """\
{"name": "production",
 "datastores": {"workspaceblobstore": {"type": "local", "path": "/srv/mlpipe/store"}},
 "compute": {"local": {"type": "local", "workdir": "/srv/mlpipe/jobs"}}}"""

_CONNECTION = {
    "connection-type": "mlpipe",
    "hook-class-name": "airflow_mlpipe.hooks.mlpipe.MLPipeHook",
    "hook-name": "MLPipe workspace",
    "ui-field-behaviour": {
        "hidden-fields": ["host", "schema", "login", "password", "port"],
        "relabeling": {},
        "placeholders": {},
    },
    "conn-fields": {
        "workspace": {
            "label": "Workspace (YAML or JSON)",
            "description": "The same keys as workspace.yml. Relative paths start from AIRFLOW_HOME. For example: "
            + " ".join(_WORKSPACE_EXAMPLE.split()),
            "schema": {"type": ["string", "null"]},
        },
        "workspace_file": {
            "label": "Workspace file",
            "description": "Instead of the text: path of a workspace.yml that workers and triggerers can read.",
            "schema": {"type": ["string", "null"]},
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description in Airflow's ``provider_info.schema.json`` form."""
    return {
        "package-name": "airflow-mlpipe",
        "name": "MLPipe",
        "description": "Azure ML pipelines on any Apache Airflow, any storage, any compute.",
        "integrations": [{"integration-name": _NAME, "tags": ["software"]}],
        "hooks": [{"integration-name": _NAME, "python-modules": ["airflow_mlpipe.hooks.mlpipe"]}],
        "operators": [
            {
                "integration-name": _NAME,
                "python-modules": [f"airflow_mlpipe.operators.{name}" for name in _OPERATORS],
            }
        ],
        "sensors": [{"integration-name": _NAME, "python-modules": ["airflow_mlpipe.sensors.data"]}],
        "triggers": [
            {
                "integration-name": _NAME,
                "python-modules": ["airflow_mlpipe.triggers.job", "airflow_mlpipe.triggers.data"],
            }
        ],
        "connection-types": [_CONNECTION],
        "config": {
            "mlpipe": {
                "description": "Settings of the MLPipe provider.",
                "options": {
                    "default_deferrable": {
                        "description": "Whether step operators give their worker slot back while a long job runs.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "callback_modules": {
                        "description": "Modules whose functions pipelines may name as callbacks, with commas.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "mlpipe_callbacks,acme.alerts",
                        "default": "mlpipe_callbacks",
                    },
                },
            }
        },
    }
