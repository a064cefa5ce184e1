"""Lets Airflow load new DAG files before they replace the old ones, in one other process: we never import Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.generator.drift import DagFile
from airflow_mlpipe.generator.write import write_file

_TIMEOUT = 300
_TAIL = 2000


def load_errors(files: Sequence[DagFile], loader: Sequence[str]) -> dict[Path, str]:
    """Return what Airflow says against each file; files that load are absent.

    :param loader: command that loads the DAG files of a folder (its last argument) and prints ``{file name: error}`` as
        JSON in the last line.
    :raises ConfigError: if Airflow itself does not come up.
    """
    if not files:
        return {}
    with tempfile.TemporaryDirectory(prefix="mlpipe-check-") as scratch:
        folder = Path(scratch) / "dags"
        for file in files:
            write_file(folder / file.path.name, file.text)
        found = _run([*loader, str(folder)], _environment(Path(scratch)))
    return {file.path: found[file.path.name] for file in files if file.path.name in found}


def _environment(scratch: Path) -> dict[str, str]:
    """The user's own Airflow settings, but no example DAGs, and no ~/airflow made by a mere check."""
    environment = {**os.environ, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environment.setdefault("AIRFLOW_HOME", str(scratch / "airflow"))
    return environment


def _run(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ConfigError(f"Airflow did not load the new DAG files within {_TIMEOUT} s. Nothing was written.") from None
    try:
        found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        tail = (done.stderr or done.stdout)[-_TAIL:].strip()
        raise ConfigError(
            f"Airflow could not be started to check the new DAG files. Nothing was written. It said:\n{tail}"
        ) from None
    return found
