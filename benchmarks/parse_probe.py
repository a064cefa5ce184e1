"""Measures in a process of its own what Airflow needs to parse DAG files: ``python parse_probe.py ROUNDS FILE...``.

A file holds one DAG; ``FOLDER@100`` stands for a file, or a folder of files, with a hundred.

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

from msgspec import to_builtins  # Airflow's tasks bring it; the environments of peers have nothing of ours

_WARM = 5


def _parse(bag_class: Any, target: str) -> tuple[Any, tuple[float, float]]:
    name, _, count = target.partition("@")
    path = Path(name)
    folder = path if path.is_dir() else path.parent
    wall, cpu = time.perf_counter(), time.process_time()
    bag = bag_class(dag_folder=name, safe_mode=False, bundle_path=folder, bundle_name="benchmark")
    spent = (time.perf_counter() - wall, time.process_time() - cpu)
    if bag.import_errors or len(bag.dags) != int(count or 1):
        what = "does not hold one DAG" if not count else f"holds {len(bag.dags)} DAGs"
        raise RuntimeError(f"{target} {what}: {bag.import_errors}")
    return next(iter(bag.dags.values())), spent


def _measure(bag_class: Any, target: str) -> dict[str, Any]:
    _, first = _parse(bag_class, target)
    again = sorted(_parse(bag_class, target)[1] for _ in range(_WARM))
    return {"first": first, "again": again[_WARM // 2]}


def _describe(bag_class: Any, target: str) -> dict[str, Any]:
    dag, _ = _parse(bag_class, target)
    tasks = {task.task_id: [type(task).__name__, sorted(task.downstream_task_ids)] for task in dag.tasks}
    steps = {task.task_id: to_builtins(task.step) for task in dag.tasks if hasattr(task, "step")}
    return {"tasks": tasks, "steps": steps, "params": dag.params.dump()}


def _forked(work: Any, *arguments: Any) -> Any:
    """Return what a fork of this process makes of the arguments."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(work, *arguments).result()


def main() -> None:
    """Parse each file in each round, by turns."""
    del sys.path[0]  # the folder of this program, whose ``parse.py`` is not what others import
    rounds, targets = int(sys.argv[1]), sys.argv[2:]
    bag_class = importlib.import_module("airflow.dag_processing.dagbag").DagBag
    found = {target: _forked(_describe, bag_class, target) | {"rounds": []} for target in targets}
    sys.dont_write_bytecode = True
    for number in range(rounds):
        for target in targets if number % 2 == 0 else reversed(targets):
            found[target]["rounds"].append(_forked(_measure, bag_class, target))
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
