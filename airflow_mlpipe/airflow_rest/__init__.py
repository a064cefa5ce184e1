"""Airflow's REST API, spoken from outside: login, runs, refusals in one sentence. Nothing here imports Airflow."""
