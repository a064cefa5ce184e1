"""Published pipelines: versions that never change, each a DAG of its own, and endpoints, names that lead to one."""
