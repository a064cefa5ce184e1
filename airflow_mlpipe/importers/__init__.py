"""Files of other systems as pipelines in our YAML, and an account of everything that could not be carried over."""

from airflow_mlpipe.importers.importing import Imported, import_file

__all__ = ["Imported", "import_file"]
