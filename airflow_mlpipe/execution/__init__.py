"""A step's life: resolve, fingerprint, look up, submit, watch, finish.

Airflow's operators and ``mlpipe run`` both live by it.
"""

from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import abandon, begin
from airflow_mlpipe.execution.planner import StepPlan, commit_plan, plan
from airflow_mlpipe.execution.run_info import ReuseMode, RunInfo, Say, Ticket
from airflow_mlpipe.execution.turns import Turn, Waiting, await_turn
from airflow_mlpipe.execution.watch import Polling, watch

__all__ = [
    "Polling",
    "ReuseMode",
    "RunInfo",
    "Say",
    "StepPlan",
    "Ticket",
    "Turn",
    "Waiting",
    "abandon",
    "await_turn",
    "begin",
    "commit_plan",
    "finish",
    "plan",
    "watch",
]
