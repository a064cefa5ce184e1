"""Retention: what nobody needs any more goes, what anybody may need stays."""

from airflow_mlpipe.retention.base import Item, Policy, Report
from airflow_mlpipe.retention.collect import collect
from airflow_mlpipe.retention.pins import Pin, Pins

__all__ = ["Item", "Pin", "Pins", "Policy", "Report", "collect"]
