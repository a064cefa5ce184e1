"""What is installed beside an interpreter: the environment of a step that declares none."""

from __future__ import annotations

import functools
import json
import os
import site
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from airflow_mlpipe.environment.requirements import normalised
from airflow_mlpipe.errors import ConfigError

_ASK = """
import json, site, sys
users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
print(json.dumps([".".join(map(str, sys.version_info[:3])), [*site.getsitepackages(), *users]]))
"""
_PATIENCE = 60.0


def installed_packages(python: str | None = None) -> dict[str, str]:
    """Return what is installed beside an interpreter: normalised name to version, sorted, and ``python`` itself.

    The names of the ``.dist-info`` folders are read, not what is in them: the packaging standard fixes
    ``<name>-<version>.dist-info``, and installers rename the folder with every version. Asked once per process.

    :param python: path of an interpreter; ``None`` for the running one.
    :raises ConfigError: if the interpreter cannot be started.
    """
    return dict(_installed(python or sys.executable))


@functools.cache
def _installed(python: str) -> tuple[tuple[str, str], ...]:
    version, folders = _own_places() if python == sys.executable else _ask(python)
    packages: dict[str, str] = {}
    for folder in folders:
        for name, found in _packages(folder):
            packages.setdefault(name, found)  # the first folder on the path is the one that is imported
    return (("python", version), *sorted(packages.items()))


def _own_places() -> tuple[str, list[str]]:
    users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return ".".join(map(str, sys.version_info[:3])), [*site.getsitepackages(), *users]


def _ask(python: str) -> tuple[str, Sequence[str]]:
    import subprocess  # noqa: PLC0415 - slow to import, and most steps use the running interpreter

    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        answer = subprocess.run(  # noqa: S603 - the workspace's own interpreter, no shell
            [python, "-c", _ASK], capture_output=True, check=True, timeout=_PATIENCE, cwd="/", env=environment
        )
        version, folders = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ConfigError(
            f"The interpreter {python!r} cannot be asked what is installed: {error}. Set the right path of a Python 3."
        ) from error
    return str(version), [str(folder) for folder in folders]


def _packages(folder: str) -> Iterator[tuple[str, str]]:
    try:
        names = sorted(path.name for path in Path(folder).iterdir())
    except OSError:  # a folder of the path that does not exist holds nothing
        return
    for name in names:
        stem, ending = os.path.splitext(name)  # noqa: PTH122 - plain names
        if ending not in (".dist-info", ".egg-info"):
            continue
        project, _, version = (
            stem.rpartition("-") if ending == ".dist-info" else stem.partition("-py3")[0].rpartition("-")
        )
        if not project:  # old tools leave the version out of the name
            project, version = stem, _version_inside(Path(folder, name))
        yield normalised(project), version


def _version_inside(place: Path) -> str:
    from importlib.metadata import PathDistribution  # noqa: PLC0415 - heavy, hardly any package needs it

    return str(PathDistribution(place).metadata["Version"])
