"""Software of steps: built once for each content on the machine that runs them, and clear words when it cannot be."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.far_side.environment import Build, building, environment_folder, python_of, usable
from airflow_mlpipe.compute.far_side.interpreters import BuildError, find_uv
from airflow_mlpipe.environment import EnvironmentDefinition
from airflow_mlpipe.errors import EnvironmentBuildError

logger = logging.getLogger(__name__)


class EnvironmentCache:
    """Finds or builds the software of a step on this machine.

    :param folder: where environments are kept; several processes may share it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def interpreter(self, definition: EnvironmentDefinition) -> Path:
        """Return the Python of an environment, after building it if nobody has yet.

        While another process builds the same one this waits, without holding a thread.

        :raises EnvironmentBuildError: if it cannot be built; with the installer's last lines and what to do.
        """
        refuse_image(definition)
        told = False
        while True:
            python = await loop.to_thread(self._find_or_build, definition)
            if python is not None:
                return python
            if not told:
                logger.info("Another process is building the same environment; waiting for it.")
            told = True
            await loop.sleep(0.2)

    def path(self, definition: EnvironmentDefinition) -> Path:
        """Return the folder of an environment, whether it exists or not. The machine's kind counts: wheels differ."""
        return environment_folder(self.folder, identity(definition))

    def _find_or_build(self, definition: EnvironmentDefinition) -> Path | None:
        """Return the interpreter, or ``None`` while somebody else builds."""
        place = self.path(definition)
        if usable(place):
            return python_of(place)
        try:
            with building(place) as lock:
                if lock is None:
                    return None
                if not usable(place):
                    Build(build_request(definition), place, lock, _say, _uv(definition)).run()
        except BuildError as error:
            raise EnvironmentBuildError(str(error)) from None
        except OSError as error:
            raise EnvironmentBuildError(
                f"The environment cannot be built in {place}: {error}. Check the folder's rights and the free space."
            ) from error
        return python_of(place)


def refuse_image(definition: EnvironmentDefinition) -> None:
    """Refuse a container image on a target that runs on the machine itself.

    :raises EnvironmentBuildError: with what to do instead.
    """
    if definition.image is not None:
        raise EnvironmentBuildError(
            f"This compute target runs on the machine itself and cannot use the image {definition.image!r}. Name "
            "the packages in a conda_file or pip_requirements, or run the step on a target that runs images."
        )


def identity(definition: EnvironmentDefinition) -> str:
    """Return text that is equal for definitions of equal content."""
    return json.dumps(definition.identity(), sort_keys=True, ensure_ascii=True)


def build_request(definition: EnvironmentDefinition) -> dict[str, Any]:
    """Return what a builder needs to know, plain values."""
    files = definition.files()
    if definition.conda:
        import yaml  # noqa: PLC0415 - only environments with conda packages need it

        files["environment.yml"] = yaml.safe_dump(_conda_file(definition))
    return {
        "identity": identity(definition),
        "python": definition.python,
        "pip": bool(definition.pip),
        "conda": list(definition.conda),
        "files": files,
    }


def _conda_file(definition: EnvironmentDefinition) -> dict[str, object]:
    wanted = definition.python
    python = [f"python{'=' if wanted[0].isdigit() else ''}{wanted}"] if wanted else []
    pip = definition.files()["requirements.txt"].splitlines()
    dependencies: list[object] = [*python, *definition.conda, "pip", *([{"pip": pip}] if pip else [])]
    return {"channels": list(definition.channels) or ["conda-forge"], "dependencies": dependencies}


def _say(line: str) -> None:
    logger.info("%s", line)


def _uv(definition: EnvironmentDefinition) -> str | None:
    """Return the uv that came with this package, so that none need be on PATH."""
    if definition.conda:
        return None
    try:
        import uv  # noqa: PLC0415 - only who builds needs it

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        return find_uv()
