"""Compute targets: where and how jobs run."""
