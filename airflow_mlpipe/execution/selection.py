"""Which files of an input belong to it: patterns, applied when the step is resolved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlpipe.errors import DataError
from airflow_mlpipe.execution.inputs import ResolvedInput, content_now
from airflow_mlpipe.spec.step import InputData
from airflow_mlpipe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence


def select(workspace: Workspace, found: ResolvedInput, data: InputData, where: str) -> ResolvedInput | None:
    """Return the input with only those files that its patterns name; folders without any of them do not belong to it.

    So a file that no pattern names may come, change or go, and the step is still the same.

    :returns: ``None`` if an optional input has no such file.
    :raises DataError: if there is no such file, or the input is a single file.
    """
    if not data.include and not data.exclude:
        return found
    manifest = found.manifest(workspace)
    if manifest is None:
        raise DataError(f"{where}: the data at {found.origin} are gone. Retry when they are at rest.")
    if manifest.kind == "file":
        raise DataError(f"{where}: {found.origin} is a single file; 'include' and 'exclude' choose files of a folder.")
    names = matching([entry.path for entry in manifest.entries], data.include, data.exclude)
    if not names and data.optional:
        return None
    if not names:
        raise DataError(
            f"{where}: none of the {len(manifest.entries)} files at {found.origin} is chosen by include "
            f"{list(data.include)} and exclude {list(data.exclude)}. Patterns are those of .gitignore: '*.csv', "
            "'2013/**'."
        )
    content = content_now(workspace, found.datastore, found.path, names, found.marked)
    if content is None:
        raise DataError(f"{where}: the data at {found.origin} are gone. Retry when they are at rest.")
    return replace(found, include=tuple(names), content=content)


def matching(paths: Sequence[str], include: Sequence[str], exclude: Sequence[str]) -> list[str]:
    """Return the paths that an ``include`` pattern names (all if there is none) and no ``exclude`` pattern does."""
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - slow to import, and few inputs have patterns

    wanted = GitIgnoreSpec.from_lines(include) if include else None
    unwanted = GitIgnoreSpec.from_lines(exclude)
    return [
        path
        for path in paths
        if (wanted is None or wanted.match_file(path)) and not (exclude and unwanted.match_file(path))
    ]
