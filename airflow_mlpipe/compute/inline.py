"""Jobs that live and die with this process: for trials and tests that want a real job without a place to keep it."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.environments import EnvironmentCache
from airflow_mlpipe.compute.far_side import processes
from airflow_mlpipe.compute.far_side.job_folder import ExitRecord, JobFolder
from airflow_mlpipe.compute.local import LocalTarget
from airflow_mlpipe.compute.local_place import LocalPlace
from airflow_mlpipe.compute.settings import check_keys


class InlineTarget(LocalTarget):
    """Runs jobs exactly as :class:`LocalTarget` does, in a temporary folder that goes with the object.

    Jobs that still run when the object or this process ends are ended. Other processes do not know its jobs.

    :ivar submissions: key and spec of each job that was started, in order; attaching adds nothing.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, Path(tempfile.mkdtemp(prefix="mlpipe-inline-")))
        self.submissions: list[tuple[str, JobSpec]] = []
        own = processes.process(os.getpid())
        watch = ["--watch", str(os.getpid()), own.start] if own else []
        cache = EnvironmentCache(self.workdir / "environments")
        submissions = self.submissions
        self.place = LocalPlace(
            self.workdir, self.python, cache, watch, lambda key, spec: submissions.append((key, spec))
        )
        self._finalizer = weakref.finalize(self, _end_all, self.workdir, submissions, os.getpid())

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> InlineTarget:  # noqa: ARG003 - contract
        """Build it from ``{"type": "inline"}``.

        :raises ConfigError: if there is any other key.
        """
        check_keys(name, config, {"type"})
        return cls(name)

    def close(self) -> None:
        """End the jobs that still run and remove the folder; happens by itself when the object or the process ends."""
        self._finalizer()


def _end_all(root: Path, submissions: list[tuple[str, JobSpec]], owner: int) -> None:
    """End what runs and remove the folder; a fork of the owner leaves both alone."""
    if os.getpid() != owner:
        return
    for key, _ in submissions:
        job = JobFolder(root, key)
        with suppress(OSError):
            if not isinstance(job.settle(), ExitRecord):
                job.force_end()
    shutil.rmtree(root, ignore_errors=True)
