"""What versions and endpoints may be called, and which DAG a version is."""

from __future__ import annotations

import re

from airflow_mlpipe.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*", re.ASCII)
_MAX_NAME, _MAX_VERSION = 120, 60


def checked_name(noun: str, name: str) -> str:
    """Return the name of a published pipeline or an endpoint.

    :raises ConfigError: if it could not be part of a DAG id, an address or a file name.
    """
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise ConfigError(
            f"The {noun} name {name[:80]!r} is not allowed: at most {_MAX_NAME} ASCII letters, digits, '_', '-' and "
            f"'.', beginning with a letter, digit or '_'."
        )
    return name


def checked_version(version: str) -> str:
    """Return the version of a published pipeline.

    :raises ConfigError: if it could not be part of a DAG id.
    """
    if len(version) > _MAX_VERSION or not _NAME.fullmatch(version):
        raise ConfigError(
            f"--version {version[:80]!r} is not allowed: at most {_MAX_VERSION} ASCII letters, digits, '_', '-' and "
            "'.', beginning with a letter, digit or '_'."
        )
    return version


def dag_id_of(name: str, version: str) -> str:
    """Return the id of the DAG that a version is: ``churn__v3``."""
    return f"{name}__v{version}"


def split_reference(text: str) -> tuple[str, str]:
    """Return name and version of ``churn:3``.

    :raises ConfigError: if one of them is missing.
    """
    name, _, version = text.partition(":")
    if not name or not version:
        raise ConfigError(f"{text!r} names no published pipeline. Write NAME:VERSION, such as churn:3.")
    return checked_name("pipeline", name), checked_version(version)
