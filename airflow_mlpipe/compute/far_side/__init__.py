"""What runs where the jobs run: Python 3.8 on Linux, its standard library, and nothing else of this package.

On this machine these modules are used in place. To another machine they travel as one file, a zip application
(:mod:`airflow_mlpipe.compute.archive`), so whatever they import of each other they import by its full name.
"""
