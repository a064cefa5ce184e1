"""The command ``mlpipe``; see :mod:`airflow_mlpipe.cli.main`."""
