"""Measures in a process of its own what Airflow needs to parse DAG files: ``python parse_probe.py ROUNDS FILE...``.

As Airflow's DAG processor does it: the parent has imported Airflow, and each file is parsed in a fork of it. The last
line of the output is JSON, path to what was found and measured.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

_WARM = 5


def _parse(bag_class: Any, path: Path) -> tuple[Any, tuple[float, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    bag = bag_class(dag_folder=str(path), safe_mode=False, bundle_path=path.parent, bundle_name="benchmark")
    spent = (time.perf_counter() - wall, time.process_time() - cpu)
    if bag.import_errors or len(bag.dags) != 1:
        raise RuntimeError(f"{path} does not hold one DAG: {bag.import_errors}")
    return next(iter(bag.dags.values())), spent


def _measure(bag_class: Any, path: Path) -> dict[str, Any]:
    _, first = _parse(bag_class, path)
    again = sorted(_parse(bag_class, path)[1] for _ in range(_WARM))
    return {"first": first, "again": again[_WARM // 2]}


def _describe(bag_class: Any, path: Path) -> dict[str, Any]:
    dag, _ = _parse(bag_class, path)
    tasks = {task.task_id: [type(task).__name__, sorted(task.downstream_task_ids)] for task in dag.tasks}
    steps = {task.task_id: task.step.model_dump(mode="json") for task in dag.tasks if hasattr(task, "step")}
    return {"tasks": tasks, "steps": steps, "params": dag.params.dump()}


def _forked(work: Any, *arguments: Any) -> Any:
    """Return what a fork of this process makes of the arguments."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(work, *arguments).result()


def main() -> None:
    """Parse each file in each round, by turns."""
    rounds, paths = int(sys.argv[1]), [Path(word) for word in sys.argv[2:]]
    bag_class = importlib.import_module("airflow.dag_processing.dagbag").DagBag
    found = {str(path): _forked(_describe, bag_class, path) | {"rounds": []} for path in paths}
    sys.dont_write_bytecode = True
    for number in range(rounds):
        for path in paths if number % 2 == 0 else reversed(paths):
            found[str(path)]["rounds"].append(_forked(_measure, bag_class, path))
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
