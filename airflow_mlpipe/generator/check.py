"""Lets Airflow load new DAG files before they replace the old ones, in one other process: we never import Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.generator.drift import DagFile
from airflow_mlpipe.generator.write import write_file

_TIMEOUT = 300
_TAIL = 2000


def load_errors(files: Sequence[DagFile], loader: Sequence[str]) -> dict[Path, str]:
    """Return what Airflow says against each file; files that load are absent.

    The process starts in the temporary folder: in a DAG folder, ``calendar.py`` would hide Python's own.

    :param loader: command that gets two folders, files to load and the one where they will lie (they may import what
        is there), and prints ``{file name: error}`` as JSON in the last line.
    :raises ConfigError: if Airflow itself does not come up.
    """
    if not files:
        return {}
    with tempfile.TemporaryDirectory(prefix="mlpipe-check-") as scratch:
        folder = Path(scratch) / "dags"
        for file in files:
            write_file(folder / file.path.name, file.text)
        home = files[0].path.parent.resolve()
        found = _run([*loader, str(folder), str(home)], Path(scratch))
    return {file.path: found[file.path.name] for file in files if file.path.name in found}


def _environment(scratch: Path) -> dict[str, str]:
    """The user's own Airflow settings, but no example DAGs, and no ~/airflow made by a mere check."""
    environment = {**os.environ, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environment.setdefault("AIRFLOW_HOME", str(scratch / "home"))
    if "PYTHONPATH" in environment:
        entries = environment["PYTHONPATH"].split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in entries if entry)
    return environment


def _run(command: Sequence[str], scratch: Path) -> dict[str, str]:
    try:
        done = subprocess.run(  # noqa: S603 - a command of ours
            command,
            env=_environment(scratch),
            cwd=scratch,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
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
