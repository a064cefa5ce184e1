"""Datastores: named places for data and for small durable records, addressed by relative paths."""
