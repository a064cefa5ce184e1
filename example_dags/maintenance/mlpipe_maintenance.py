"""Two DAGs that look after a workspace: jobs that nobody owns are ended, and what nobody needs any more goes.

``mlpipe_sweep`` ends, every quarter of an hour, jobs whose tasks were ended while nobody was there to cancel them.
``mlpipe_maintenance`` collects garbage daily. It only looks until you say otherwise: trigger it with ``dry_run``
switched off, or set ``DRY_RUN`` to False here. The workspace is that of the connection ``mlpipe_default``, or the
nearest ``workspace.yml`` above this file.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param

from airflow_mlpipe.operators import GarbageCollectionOperator, OrphanSweepOperator

DRY_RUN = True

with DAG(
    dag_id="mlpipe_maintenance",
    description="Removes what nobody needs any more from the workspace.",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["mlpipe", "maintenance"],
    params={"dry_run": Param(DRY_RUN, type="boolean", description="Only look and say what would go.")},
):
    GarbageCollectionOperator(task_id="collect", older_than="30d", keep_last=10, keep_runs=1000, grace="24h", retries=2)

with DAG(
    dag_id="mlpipe_sweep",
    description="Ends jobs that nobody owns.",
    schedule="*/15 * * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["mlpipe", "maintenance"],
    params={"dry_run": Param(False, type="boolean", description="Only look and say what would be ended.")},
):
    OrphanSweepOperator(task_id="sweep", grace=30, retries=2)
