"""Azure ML pipelines on any Apache Airflow, any storage, any compute."""

__version__ = "0.1.0"
