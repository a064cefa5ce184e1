"""Findings about pipeline files: their faults, and advice that no other command gives."""

from airflow_mlpipe.lint.findings import Finding, Selection, examine
from airflow_mlpipe.lint.sarif import as_sarif

__all__ = ["Finding", "Selection", "as_sarif", "examine"]
