"""What no process on Linux could be given is refused before a target sees it."""

from __future__ import annotations

from pathlib import PurePosixPath

from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.far_side.job_folder import valid_key
from airflow_mlpipe.errors import SubmitRejectedError

_LONGEST = 128 * 1024 - 1
"""Linux takes no longer single argument or environment entry."""


def check_spec(spec: JobSpec, key: str) -> None:
    """Refuse what no process on Linux could be given.

    :raises SubmitRejectedError: naming the field, what it holds and what is allowed.
    """
    if not valid_key(key):
        raise SubmitRejectedError(f"The run key {key!r} is not allowed: use 1 to 52 characters a-z, 0-9 and '-'.")
    if not _fits(spec.command):
        raise SubmitRejectedError(
            "The command holds a character that no command can hold, or is longer than 128 KiB. Move it into a script."
        )
    for name, value in spec.variables.items():
        if not name or "=" in name or not _fits(f"{name}={value}"):
            raise SubmitRejectedError(
                f"The environment variable {name!r} cannot be set: a name must not be empty or hold '=', neither name "
                "nor value may hold a NUL character, and both together at most 128 KiB. Pass long values in a file."
            )
    _check_files(spec)


def _check_files(spec: JobSpec) -> None:
    for name in spec.files:
        if name in ("", ".", "..") or "/" in name or not _fits(name):
            raise SubmitRejectedError(f"The file name {name!r} is not allowed beside a job: use a plain name.")
    for folder in spec.folders:
        if not PurePosixPath(folder).is_absolute() or not _fits(str(folder)):
            raise SubmitRejectedError(f"The folder {folder!r} to create for a job is not an absolute path.")


def _fits(text: str) -> bool:
    """Whether Linux takes this text as one argument or environment entry."""
    try:
        return "\0" not in text and len(text.encode("utf-8", "surrogateescape")) <= _LONGEST
    except UnicodeEncodeError:
        return False
