"""The registry: named, numbered versions of datasets and models with their lineage."""
