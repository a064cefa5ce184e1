"""Defers the tasks of a run by their rows in Airflow's database: ``python -m benchmarks.defer_rows JSON``.

A thousand tasks that each start a worker would take a quarter of an hour; what is measured is the triggerer.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_mlpipe.compute.base import JobHandle
from airflow_mlpipe.execution.run_info import Ticket
from airflow_mlpipe.triggers.job import JobTrigger


def defer(order: dict[str, Any]) -> int:
    """Give each task of the run the trigger that follows its job; return how many there are.

    :param order: ``dag_id``, ``run_id``, ``folder``, ``target``, ``keys`` and ``interval``.
    """
    with create_session() as session:
        wanted = select(TaskInstance).where(
            TaskInstance.dag_id == order["dag_id"], TaskInstance.run_id == order["run_id"]
        )
        tasks = session.scalars(wanted.order_by(TaskInstance.task_id)).all()
        for task, key in zip(tasks, order["keys"], strict=True):
            handle = JobHandle(order["target"], key, key)
            job = {"pipeline": order["dag_id"], "run_id": order["run_id"], "step": task.task_id}
            polling = {"interval": order["interval"], "deadline": time.time() + 86400}
            made = JobTrigger("mlpipe_default", order["folder"], job, Ticket(handle, 1).to_json(), polling, "0")
            row = Trigger.from_object(made)
            session.add(row)
            session.flush()
            task.state, task.trigger_id, task.next_method = "deferred", row.id, made.resume_with
            task.next_kwargs = made.resume_arguments
        return len(tasks)


if __name__ == "__main__":
    print(defer(json.loads(sys.argv[1])))
