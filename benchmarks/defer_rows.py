"""Makes deferred runs by their rows in Airflow's database: ``python -m benchmarks.defer_rows JSON``.

A thousand tasks that each start a worker would take a quarter of an hour; what is measured is the triggerer.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from airflow.models.dagbag import DBDagBag
from airflow.models.trigger import Trigger
from airflow.utils import timezone
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType

from airflow_mlpipe.compute.base import JobHandle
from airflow_mlpipe.execution.run_info import Ticket
from airflow_mlpipe.triggers.job import JobTrigger


def defer(order: dict[str, Any]) -> int:
    """Make a run for each job, whose one task waits for it in a trigger; return how many there are.

    :param order: ``dag_id``, ``folder``, ``target``, ``keys`` and ``interval``.
    """
    with create_session() as session:
        dag = DBDagBag().get_latest_version_of_dag(order["dag_id"], session=session)
        for key in order["keys"]:
            run = dag.create_dagrun(
                run_id=f"run-{key}",
                run_after=timezone.utcnow(),
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.RUNNING,
                session=session,
            )
            (task,) = run.get_task_instances(session=session)
            made = _trigger(order, run.run_id, task.task_id, key)
            row = Trigger.from_object(made)
            session.add(row)
            session.flush()
            task.state, task.trigger_id, task.next_method = "deferred", row.id, made.resume_with
            task.next_kwargs = made.resume_arguments
    return len(order["keys"])


def _trigger(order: dict[str, Any], run_id: str, task_id: str, key: str) -> JobTrigger:
    job = {"pipeline": order["dag_id"], "run_id": run_id, "step": task_id}
    polling = {"interval": order["interval"], "deadline": time.time() + 86400}
    ticket = Ticket(JobHandle(order["target"], key, key), 1).to_json()
    return JobTrigger("mlpipe_default", order["folder"], job, ticket, polling, "0")


if __name__ == "__main__":
    print(defer(json.loads(sys.argv[1])))
