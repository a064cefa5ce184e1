"""Every process of Airflow imports the plugin, so it must bring nothing with it."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.airflow

CODE = """
import json, sys, airflow.plugins_manager
before = set(sys.modules)
import airflow_mlpipe.plugins
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_the_plugin_imports_nothing_but_itself() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    imported = json.loads(done.stdout.splitlines()[-1])
    assert "airflow_mlpipe.plugins" in imported
    assert [name for name in imported if name.split(".")[:2] != ["airflow_mlpipe", "plugins"]] in (
        [],
        ["airflow_mlpipe"],
    )
    assert "airflow_mlpipe.plugins.submit" not in imported
