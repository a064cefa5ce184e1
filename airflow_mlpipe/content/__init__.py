"""Content: what bytes a file or folder holds, told apart from where it lies and when it was written."""

from airflow_mlpipe.content.manifest import ContentSummary, DataRef, FileEntry, Manifest

__all__ = ["ContentSummary", "DataRef", "FileEntry", "Manifest"]
