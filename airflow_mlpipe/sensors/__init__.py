"""Waiting for something to happen."""

from airflow_mlpipe.sensors.changed import changed_data
from airflow_mlpipe.sensors.data import DataChangedSensor

__all__ = ["DataChangedSensor", "changed_data"]
