"""rclone as a peer: the package of the distribution, with the flags that were fastest on Azurite."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.azure_sdk import Place
from benchmarks.measure import BenchmarkError, Sample, run_process

_REMOTE = "blobs"
LARGE = (
    *("--azureblob-chunk-size", "32M", "--azureblob-upload-concurrency", "4", "--azureblob-disable-checksum"),
    *("--multi-thread-cutoff", "16M", "--multi-thread-streams", "4", "--ignore-checksum", "--no-check-dest"),
)
"""One big file: blocks of 32 MiB and four streams as for the SDK; no checksum is taken or compared."""
SMALL = ("--transfers", "32", "--checkers", "32", "--fast-list", "--no-check-dest", "--ignore-checksum")
"""Many small files: 32 at once, one list for all, and nothing is looked for at the destination."""


def ensure() -> str:
    """Return the ``rclone`` command.

    :raises BenchmarkError: if it is not installed, with how to install it.
    """
    command = shutil.which("rclone")
    if command is None:
        raise BenchmarkError(
            "rclone is not installed. Debian, Ubuntu: apt-get install rclone; then take the figure again."
        )
    return command


def version() -> str:
    """Return what it calls itself: ``rclone v1.60.1-DEV``."""
    said = subprocess.run([ensure(), "version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0]


def upload(place: Place, source: Path, flags: tuple[str, ...]) -> Sample:
    """Copy a folder into a container."""
    return _copy(place, str(source), f"{_REMOTE}:{place.container}/{source.name}", flags)


def download(place: Place, name: str, to: Path, flags: tuple[str, ...]) -> Sample:
    """Copy a folder out of a container."""
    return _copy(place, f"{_REMOTE}:{place.container}/{name}", str(to), flags)


def environment(place: Place) -> dict[str, str]:
    """Return environment variables that describe the container to it; no file of settings is read, nothing is kept."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RCLONE_")}
    remote = f"RCLONE_CONFIG_{_REMOTE.upper()}"
    return {**kept, "RCLONE_CONFIG": os.devnull, f"{remote}_TYPE": "azureblob", f"{remote}_SAS_URL": place.sas_url()}


def _copy(place: Place, source: str, to: str, flags: tuple[str, ...]) -> Sample:
    return run_process([ensure(), "copy", source, to, *flags], Path.cwd(), environment(place))
