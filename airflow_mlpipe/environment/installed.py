"""What is installed beside an interpreter: the environment of a step that declares none."""

from __future__ import annotations

import functools
import json
import os
import site
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from airflow_mlpipe.environment.requirements import normalised
from airflow_mlpipe.errors import ConfigError

_LISTING = """
import json, os, site, sys
from importlib.metadata import PathDistribution
from pathlib import Path
users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
names = []
for place in [*site.getsitepackages(), *users]:
    for name in sorted(os.listdir(place)) if os.path.isdir(place) else []:
        stem, ending = os.path.splitext(name)
        if ending in (".dist-info", ".egg-info") and "-" not in stem:
            name = stem + "-" + str(PathDistribution(Path(place, name)).metadata["Version"]) + ".dist-info"
        names.append(name)
print(json.dumps([".".join(map(str, sys.version_info[:3])), names]))
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


def listing_command(python: str) -> list[str]:
    """Return the words that make an interpreter say what :func:`read_listing` reads; it may be an old one."""
    return [python, "-c", _LISTING]


def read_listing(said: bytes) -> dict[str, str]:
    """Return what an interpreter said to :func:`listing_command`, as :func:`installed_packages` does.

    :raises ValueError: if it is something else.
    """
    version, names = json.loads(said)
    return _packages(str(version), [str(name) for name in names])


@functools.cache
def _installed(python: str) -> tuple[tuple[str, str], ...]:
    packages = _own() if python == sys.executable else _ask(python)
    return tuple(packages.items())


def _own() -> dict[str, str]:
    users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    names = [name for folder in (*site.getsitepackages(), *users) for name in _names(folder)]
    return _packages(".".join(map(str, sys.version_info[:3])), names)


def _ask(python: str) -> dict[str, str]:
    import subprocess  # noqa: PLC0415 - slow to import, and most steps use the running interpreter

    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        answer = subprocess.run(  # noqa: S603 - the workspace's own interpreter, no shell
            listing_command(python), capture_output=True, check=True, timeout=_PATIENCE, cwd="/", env=environment
        )
        return read_listing(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ConfigError(
            f"The interpreter {python!r} cannot be asked what is installed: {error}. Set the right path of a Python 3."
        ) from error


def _packages(version: str, names: Iterable[str]) -> dict[str, str]:
    """Return the packages of folders by their names; the first one on the path is the one that is imported."""
    packages: dict[str, str] = {}
    for name in names:
        stem, ending = os.path.splitext(name)  # noqa: PTH122 - plain names
        if ending in (".dist-info", ".egg-info"):
            whole = stem if ending == ".dist-info" else stem.partition("-py3")[0]
            project, _, found = whole.rpartition("-")
            packages.setdefault(normalised(project), found)
    return {"python": version, **dict(sorted(packages.items()))}


def _names(folder: str) -> Iterator[str]:
    try:
        names = sorted(path.name for path in Path(folder).iterdir())
    except OSError:  # a folder of the path that does not exist holds nothing
        return
    for name in names:
        stem, ending = os.path.splitext(name)  # noqa: PTH122 - plain names
        bare = ending in (".dist-info", ".egg-info") and "-" not in stem  # old tools leave the version out of the name
        yield f"{stem}-{_version_inside(Path(folder, name))}.dist-info" if bare else name


def _version_inside(place: Path) -> str:
    from importlib.metadata import PathDistribution  # noqa: PLC0415 - heavy, hardly any package needs it

    return str(PathDistribution(place).metadata["Version"])
