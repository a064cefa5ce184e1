"""Kinds of jobs that can be written and checked but not run yet."""

from __future__ import annotations

NOT_YET = {
    "sweep": "nothing searches yet; give the values as inputs, or use 'parallel_for'",
    "automl": "nothing searches models yet; train with a command",
    "spark": "nothing submits to Spark yet; run spark-submit in a command",
    "import": "databases are not read yet; copy files with 'type: data_transfer', 'task: copy_data'",
}
"""Job type to what is missing, and what to do."""
