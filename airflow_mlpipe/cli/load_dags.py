"""Loads DAG files with Airflow and prints what it says: ``python -m airflow_mlpipe.cli.load_dags FOLDER [IMPORTS]``.

The only part of the command line that imports Airflow, and always in a process of its own. The last line of the
output is JSON, file name to error; files that load are absent.
"""

from __future__ import annotations

import json
import sys
from itertools import dropwhile
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "airflow_mlpipe.cli.load_dags")
"""The process to start: a folder of DAG files, and a folder that they may import from."""


def load(folder: Path) -> dict[str, str]:
    """Load and serialize every DAG of a folder.

    :returns: file name to the error, for files that do not make exactly one DAG.
    """
    errors: dict[str, str] = {}
    for path in sorted(folder.glob("*.py")):
        bag = _dag_bag(path)
        for text in bag.import_errors.values():
            errors[path.name] = _reason(text)
        if path.name not in errors:
            error = _serialization_error(bag, path)
            if error:
                errors[path.name] = error
    return errors


def _dag_bag(path: Path) -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - Airflow 3.2 and later
    except ImportError:
        from airflow.models import DagBag  # noqa: PLC0415 - Airflow 3.1
    return DagBag(dag_folder=str(path), safe_mode=False, bundle_path=path.parent)


def _serialization_error(bag: Any, path: Path) -> str:
    from airflow.serialization import serialized_objects  # noqa: PLC0415 - heavy

    serializer: Any = getattr(serialized_objects, "DagSerialization", None)
    if serializer is None:
        serializer = vars(serialized_objects)["SerializedDAG"]
    if list(bag.dags) != [path.stem]:
        return f"Airflow finds the DAGs {sorted(bag.dags)} in it; expected {path.stem!r} alone"
    try:
        serializer.to_dict(bag.dags[path.stem])
    except Exception as error:  # noqa: BLE001 - whatever Airflow raises is the finding
        return f"Airflow cannot store it: {error}"
    return ""


def _reason(text: str) -> str:
    """Return the exception without the traceback above it, which speaks of Airflow's own files."""
    lines = text.strip().splitlines()
    frames = [index for index, line in enumerate(lines) if line.startswith('  File "')]
    below = lines[frames[-1] + 1 :] if frames else lines
    said = list(dropwhile(lambda line: line.startswith(" "), below))
    return "\n".join(said) or "Airflow gives no reason"


if __name__ == "__main__":
    sys.path += sys.argv[2:]
    found = load(Path(sys.argv[1]))
    sys.stdout.write("\n" + json.dumps(found) + "\n")
