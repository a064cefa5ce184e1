"""Values that steps write for other steps: a file with a number, a text, or true or false."""

from __future__ import annotations

import tempfile
from pathlib import Path

from airflow_mlpipe.errors import DataError, ParameterError
from airflow_mlpipe.execution.inputs import ResolvedInput
from airflow_mlpipe.spec.step import Scalar, ScalarType
from airflow_mlpipe.workspace import Workspace

MAX_BYTES = 65_536
"""A value longer than this is data."""


def read_value(workspace: Workspace, found: ResolvedInput, kind: ScalarType, where: str) -> Scalar:
    """Return the value that a file holds; blanks and line ends around it do not count.

    :param where: named in errors, ``step deploy, input score``.
    :raises DataError: if it is no file, too long, not UTF-8, or not of the type.
    """
    if found.content.kind != "file" or found.content.size > MAX_BYTES:
        seen = "a folder" if found.content.kind != "file" else f"{found.content.size} bytes"
        raise DataError(f"{where}: {found.origin} must be a file with one value of at most 64 KiB; it is {seen}.")
    from airflow_mlpipe.spec.model import Parameter  # noqa: PLC0415 - heavy, and few values are read from files

    try:
        text = _read(workspace, found).decode("utf-8").strip()
        return Parameter(type=kind).normalise(text)
    except UnicodeDecodeError:
        raise DataError(f"{where}: {found.origin} is not UTF-8 text. Write the value as text.") from None
    except ParameterError as error:
        raise DataError(f"{where}: the value in {found.origin} {error}") from None


def _read(workspace: Workspace, found: ResolvedInput) -> bytes:
    if found.datastore is None:
        return Path(found.path).read_bytes()
    store = workspace.datastore(found.datastore)
    local = store.local_path(found.path)
    if local is not None:
        return local.read_bytes()
    with tempfile.TemporaryDirectory(dir=workspace.scratch) as folder:
        store.download(found.path, Path(folder) / "value")
        return (Path(folder) / "value").read_bytes()
