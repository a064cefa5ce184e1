"""Code, environment and compute of a job: names without their ``azureml:``, paths relative to the pipeline's folder."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from airflow_mlpipe.spec.diagnostics import Faults, Place, did_you_mean
from airflow_mlpipe.spec.documents import EnvironmentKeys
from airflow_mlpipe.spec.paths import Source
from airflow_mlpipe.spec.structure import describe, validate

_NAMED = re.compile(r"(azureml:)?([A-Za-z0-9][A-Za-z0-9_.\-]*)(?::([A-Za-z0-9_.\-]+)|@([A-Za-z0-9_.\-]+))?")
_SCRIPT = re.compile(r"\s*python3?\s+(?:-[uBO]\s+)*([A-Za-z0-9_./\-]+\.py)(?=\s|$)")
_LISTS = {
    "conda_file": "the path of a conda file or its content",
    "pip_requirements": "the path of a requirements file or a list of requirements",
}
_COMPUTE = re.compile(r"(azureml:)?([A-Za-z0-9][A-Za-z0-9_.\-]*)")


def compute_name(text: str | None, place: Place, faults: Faults) -> str | None:
    """Return the name of a compute target, ``azureml:local`` and ``local`` alike."""
    if text is None:
        return None
    match = _COMPUTE.fullmatch(text)
    if match is None:
        faults.add(place, "MLP024", f"must be the name of a compute target, azureml:<name>, got {text!r}.")
        return None
    return match[2]


def _named_environment(text: str, place: Place, faults: Faults) -> str | None:
    if text.startswith("azureml://"):
        advice = "define it in workspace.yml and name it azureml:<name>."
        faults.add(place, "MLP026", f"environments of registries are not supported yet, got {text!r}; {advice}")
        return None
    match = _NAMED.fullmatch(text)
    if match is None or text.startswith("file:") or text.endswith((".yml", ".yaml", ".txt")):
        forms = "azureml:<name>:<version>, {conda_file: ./environment.yml} or {pip_requirements: ./requirements.txt}"
        faults.add(place, "MLP024", f"must be {forms}, got {text!r}.")
        return None
    if match[3]:
        words = f"the version '{match[3]}' is not used: the workspace's environment '{match[2]}' counts by content."
        faults.add(place, "MLP203", words)
    return match[2]


def _definition(value: dict[str, Any], place: Place, source: Source, faults: Faults) -> dict[str, Any] | None:
    keys = validate(EnvironmentKeys, value, place, faults)
    if keys is None:
        return None
    result: dict[str, Any] = {}
    for name, words in _LISTS.items():
        given = _packages(getattr(keys, name), place / name, words, source, faults)
        if given is not None:
            result[name] = given
    if keys.image is not None:
        result["image"] = keys.image
    if not {*_LISTS, "image", "build"} & keys.model_fields_set:
        faults.add(place, "MLP022", "one of 'conda_file', 'pip_requirements', 'image' is missing.")
    if "conda_file" in result and "pip_requirements" in result:
        faults.add(
            place / "pip_requirements", "MLP025", "cannot be said beside 'conda_file'; list them there.", of_key=True
        )
    return result


def _packages(value: Any, place: Place, words: str, source: Source, faults: Faults) -> Any:
    """Return a file's path, or the content written in place."""
    if value is None:
        return None
    if isinstance(value, str):
        return source.existing(value, place, "file", faults)
    inline = isinstance(value, dict) if place.path[-1] == "conda_file" else _is_texts(value)
    if not inline:
        faults.add(place, "MLP023", f"must be {words}, got {describe(value)}.")
        return None
    return value


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def environment(value: Any, place: Place, source: Source, faults: Faults) -> str | dict[str, Any] | None:
    """Return the name of an environment or its definition; ``None`` if nothing was said or it is wrong."""
    if value is None:
        return None
    if isinstance(value, str):
        return _named_environment(value, place, faults)
    if isinstance(value, dict):
        return _definition(value, place, source, faults)
    faults.add(place, "MLP023", f"must be the name of an environment or a mapping, got {describe(value)}.")
    return None


def code_folder(text: str | None, place: Place, source: Source, faults: Faults) -> str | None:
    """Return the source folder relative to the pipeline's folder; it must exist."""
    if text is None:
        return None
    if text.startswith(("azureml:", "git+", "http:", "https:")):
        faults.add(place, "MLP124", f"'{text}' is not a local folder; code is taken from a folder such as ./src.")
        return None
    return source.existing(text, place, "folder", faults)


def check_script(command: str, folder: Path | None, included: tuple[str, ...], place: Place, faults: Faults) -> None:
    """Note a fault if a command plainly starts a Python script that is not in its code folder.

    :param folder: the code folder, ``None`` for a job without code.
    :param included: the additional includes; each lies in the code folder under its own name.
    """
    match = _SCRIPT.match(command)
    if match is None or match[1].startswith("/"):
        return
    script = posixpath.normpath(match[1])
    if script.split("/")[0] in {posixpath.basename(path) for path in included}:
        return
    if folder is None:
        faults.add(place, "MLP121", f"runs '{script}' but the job has no code; write 'code: ./src'.")
    elif not faults.looks.is_file(folder / script):
        hint = did_you_mean(script, [path.name for path in folder.glob("*.py")])
        faults.add(place, "MLP121", f"there is no file '{script}' in the code folder.{hint}")


def includes(paths: list[str], place: Place, source: Source, faults: Faults) -> tuple[str, ...]:
    """Return the additional includes relative to the pipeline's folder; each must exist."""
    found = (source.existing(path, place / number, "file or folder", faults) for number, path in enumerate(paths))
    return tuple(path for path in found if path is not None)
