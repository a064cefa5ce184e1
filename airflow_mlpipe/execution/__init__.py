"""A step's life: resolve, fingerprint, look up, submit, watch, finish.

Airflow's operators and ``mlpipe run`` live by it.
Nothing is gathered here: a run that reuses every step needs only :mod:`~airflow_mlpipe.execution.planner`.
"""
