"""Jobs on this machine that outlive the process that submitted them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.environments import EnvironmentCache
from airflow_mlpipe.compute.folder_target import FolderTarget
from airflow_mlpipe.compute.local_place import LocalPlace
from airflow_mlpipe.compute.settings import check_keys
from airflow_mlpipe.errors import ConfigError


class LocalTarget(FolderTarget):
    """Runs each job under a launcher of its own, in a session of its own, in a folder named after the run key.

    Every process of this machine that is given the same ``workdir`` sees the same jobs. A job survives the end of the
    worker, also by SIGKILL of its process group; it does not survive the machine, nor the container that it runs in.

    :param name: the name under which the workspace knows it.
    :param workdir: folder of the jobs.
    :param python: interpreter of steps without an environment; ``None`` for the running one.
    :param environments: folder of built environments, ``None`` for ``<workdir>/environments``.
    """

    def __init__(self, name: str, workdir: Path, python: Path | None = None, environments: Path | None = None) -> None:
        self.workdir = workdir.resolve()
        self.python = (python or Path(sys.executable)).absolute()
        cache = EnvironmentCache((environments or self.workdir / "environments").resolve())
        super().__init__(name, LocalPlace(self.workdir, self.python, cache))

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> LocalTarget:
        """Build it from ``{"type": "local", "workdir": ..., "python"?: ..., "environments"?: ...}``.

        :param folder: relative paths start from it; a ``python`` without a slash is looked up on PATH.
        :raises ConfigError: if a key is unknown or a value is wrong.
        """
        check_keys(name, config, {"type", "workdir", "python", "environments"})
        texts = {key: value for key, value in config.items() if value is not None}
        if "workdir" not in texts:
            raise ConfigError(f"compute {name}: workdir is missing. Name a folder for its jobs, such as ./jobs.")
        for key, value in texts.items():
            if not isinstance(value, str) or not value.strip():
                raise ConfigError(f"compute {name}: {key} is {value!r}; write the path as text.")
        python = _interpreter(name, texts["python"], folder) if "python" in texts else None
        environments = folder / texts["environments"] if "environments" in texts else None
        return cls(name, folder / texts["workdir"], python, environments)


def _interpreter(name: str, value: str, folder: Path) -> Path:
    found = str(folder / value) if "/" in value else shutil.which(value)
    if found is None:
        raise ConfigError(f"compute {name}: python {value!r} is not on PATH. Write the path of a Python 3 interpreter.")
    return Path(found)
