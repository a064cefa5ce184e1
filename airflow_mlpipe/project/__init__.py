"""``mlpipe.toml``: a repository of many pipelines, and what differs between its environments.

Importing this package costs nothing: ``mlpipe run`` only asks :mod:`airflow_mlpipe.project.place` for such a file.
"""
