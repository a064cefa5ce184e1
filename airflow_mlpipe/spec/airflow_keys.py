"""The ``airflow:`` block at the top of a pipeline."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.spec.callbacks import callback_name
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import AirflowKeys
from airflow_mlpipe.spec.jobs import is_dag_id
from airflow_mlpipe.spec.model import AirflowBlock
from airflow_mlpipe.spec.schedule_files import Overrides
from airflow_mlpipe.spec.schedules import build_schedule, read_trigger
from airflow_mlpipe.spec.times import date, duration


def _limit(keys: AirflowKeys, trigger: Any, names: tuple[str, str], place: Place, faults: Faults) -> datetime | None:
    """Return a date that may be written in the block or in the trigger, not in both."""
    ours, azure = names
    within = getattr(trigger, azure, None)
    there = place / "schedule" / azure
    if within is None:
        return date(getattr(keys, ours), place / ours, faults)
    if getattr(keys, ours) is not None:
        faults.add(there, "MLP025", f"says the same as '{ours}' of the airflow block; keep one.", of_key=True)
    return date(within, there, faults)


def scheduled(block: AirflowBlock, overrides: Overrides, faults: Faults) -> AirflowBlock:
    """Return the block of a pipeline with the trigger of a schedule file in place of its own."""
    source = overrides.source.place
    here = Place(source.file, source.marks) / "trigger"
    trigger = read_trigger(overrides.keys.trigger, here, faults)
    start = date(getattr(trigger, "start_time", None), here / "start_time", faults) or block.start_date
    end = date(getattr(trigger, "end_time", None), here / "end_time", faults) or block.end_date
    if start and end and start.replace(tzinfo=None) > end.replace(tzinfo=None):
        faults.add(here / "end_time", "MLP142", "lies before 'start_time'.")
    schedule = build_schedule(trigger, start, here, faults) if trigger else None
    return replaced(block, schedule=schedule, start_date=start, end_date=end, dag_id=None)


def read_airflow(keys: AirflowKeys | None, place: Place, faults: Faults) -> AirflowBlock:
    """Read the block; ``place`` is its own."""
    if keys is None:
        return AirflowBlock()
    trigger = read_trigger(keys.schedule, place / "schedule", faults)
    start = _limit(keys, trigger, ("start_date", "start_time"), place, faults)
    end = _limit(keys, trigger, ("end_date", "end_time"), place, faults)
    if start and end and start.replace(tzinfo=None) > end.replace(tzinfo=None):
        faults.add(place / "end_date", "MLP142", "lies before 'start_date'.")
    if keys.catchup and trigger is not None and start is None:
        faults.add(place / "catchup", "MLP143", "needs a 'start_date' to catch up from.")
    if keys.dag_id is not None and not is_dag_id(keys.dag_id):
        faults.add(
            place / "dag_id", "MLP030", f"'{keys.dag_id}' cannot be a dag id: ASCII letters, digits, '_', '-', '.'."
        )
    return AirflowBlock(
        schedule=build_schedule(trigger, start, place / "schedule", faults) if trigger else None,
        start_date=start,
        end_date=end,
        catchup=keys.catchup,
        max_active_runs=keys.max_active_runs,
        owner=keys.owner,
        tags=tuple(dict.fromkeys(keys.tags)),
        retries=keys.retries,
        retry_delay=duration(keys.retry_delay, place / "retry_delay", faults),
        pool=keys.pool,
        queue=keys.queue,
        on_failure=callback_name(keys.on_failure, place / "on_failure", faults),
        on_success=callback_name(keys.on_success, place / "on_success", faults),
        template=keys.template,
        dag_id=keys.dag_id,
    )
