"""Shared by several pipelines."""
