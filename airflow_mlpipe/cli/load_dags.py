"""Loads DAG files with Airflow and prints what it says: ``python -m airflow_mlpipe.cli.load_dags IMPORTS``.

The only part of the command line that imports Airflow, and always in a process of its own. Each line of its input is a
folder; for each it prints a line of JSON, file name to error; files that load are absent. What DAG files print goes to
the error stream.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from itertools import dropwhile
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "airflow_mlpipe.cli.load_dags")
"""The process to start, with the folder that DAG files may import from as its last word."""


def load(folder: Path) -> dict[str, str]:
    """Load and serialize every DAG of a folder.

    :returns: file name to the error, for files that do not make exactly one DAG.
    """
    errors: dict[str, str] = {}
    before = set(sys.modules)
    for path in sorted(folder.glob("*.py")):
        bag = _dag_bag_class()(dag_folder=str(path), safe_mode=False, bundle_path=path.parent)
        for text in bag.import_errors.values():
            errors[path.name] = _reason(text)
        if path.name not in errors:
            error = _serialization_error(bag, path)
            if error:
                errors[path.name] = error
    for name in [name for name in sys.modules if name.startswith("unusual_prefix_") and name not in before]:
        del sys.modules[name]  # the DAG files themselves, which Airflow keeps for ever
    return errors


def _dag_bag_class() -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - Airflow 3.2 and later
    except ImportError:
        from airflow.models import DagBag  # noqa: PLC0415 - Airflow 3.1
    return DagBag


def _serialization_error(bag: Any, path: Path) -> str:
    from airflow.serialization import serialized_objects  # noqa: PLC0415 - heavy

    serializer: Any = getattr(serialized_objects, "DagSerialization", None)
    if serializer is None:
        serializer = vars(serialized_objects)["SerializedDAG"]
    if list(bag.dags) != [path.stem]:
        return f"Airflow finds the DAGs {sorted(bag.dags)} in it; expected {path.stem!r} alone"
    dag = bag.dags[path.stem]
    try:
        _leave_out_copies(dag)
        serializer.to_dict(dag)
    except Exception as error:  # noqa: BLE001 - whatever Airflow raises is the finding
        return f"Airflow cannot store it: {error}"
    return ""


def _leave_out_copies(dag: Any) -> None:
    """Drop the copies of the DAG's params that each task holds.

    Airflow checks every copy six times against the whole JSON schema: nine tenths of the time of all this. The DAG's
    own are checked.
    """
    for task in dag.tasks:
        params = {name: value for name, value in task.params.items() if name not in dag.params}
        task.params = type(task.params)(params)


def _reason(text: str) -> str:
    """Return the exception without the traceback above it, which speaks of Airflow's own files."""
    lines = text.strip().splitlines()
    frames = [index for index, line in enumerate(lines) if line.startswith('  File "')]
    below = lines[frames[-1] + 1 :] if frames else lines
    said = list(dropwhile(lambda line: line.startswith(" "), below))
    return "\n".join(said) or "Airflow gives no reason"


def _import_airflow() -> None:
    """Import what every DAG file needs, before the first folder is known.

    What an import makes stays: looking for garbage in it, now and later, is a tenth of the time.
    """
    gc.disable()
    _dag_bag_class()
    importlib.import_module("airflow.serialization.serialized_objects")
    gc.freeze()
    gc.enable()


def main() -> None:
    """Answer each folder on standard input."""
    sys.path += sys.argv[1:]
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        _import_airflow()
        for line in sys.stdin:
            answers.write(json.dumps(load(Path(line.rstrip("\n")))) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
