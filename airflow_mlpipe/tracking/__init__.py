"""Tracking: what is kept of runs, their steps and the jobs that were submitted for them."""
