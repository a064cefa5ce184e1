"""Paths in a pipeline: the allowed forms, and how those of a component become relative to the pipeline's folder."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from airflow_mlpipe.spec.diagnostics import Faults, Place

_DATASTORE = re.compile(r"azureml://datastores/([A-Za-z0-9_.\-]+)/paths/(.*)", re.DOTALL)
_ASSET = re.compile(r"azureml:[A-Za-z0-9_.\-]+(:[A-Za-z0-9_.\-]+|@latest)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:")
_DATA_FORMS = (
    "a path relative to the pipeline's folder (./data), azureml://datastores/<name>/paths/<path>, "
    "azureml:<name>:<version> or azureml:<name>@latest"
)


@dataclass(frozen=True)
class Source:
    """A file, or a part of one, with paths in it.

    :param place: the mapping that holds the paths.
    :param base: folder of the file, relative to the pipeline's folder; ``""`` for the pipeline file itself.
    :param folder: the pipeline's folder on this machine.
    """

    place: Place
    base: str
    folder: Path

    def rebase(self, text: str) -> str:
        """Return a path of this file as a path of the pipeline's folder: ``./src``, ``../shared``, ``.``."""
        path = posixpath.normpath(posixpath.join(self.base, text))
        return path if path in (".", "..") or path.startswith("../") else f"./{path}"

    def local(self, text: str, place: Place, faults: Faults) -> str | None:
        """Check and rebase a local path; ``None`` if it cannot be one."""
        if text.startswith(("/", "~")) or _SCHEME.match(text) or "\0" in text:
            faults.add(place, "MLP124", f"'{text}' must be a path relative to the folder of this file, such as ./src.")
            return None
        return self.rebase(text)

    def existing(self, text: str, place: Place, what: str, faults: Faults) -> str | None:
        """Check and rebase a path of something that must be there.

        :param what: ``file``, ``folder`` or ``file or folder``.
        """
        path = self.local(text, place, faults)
        if path is None:
            return None
        target = self.folder / path
        found = {"file": target.is_file, "folder": target.is_dir}.get(what, target.exists)()
        if not found:
            faults.add(place, "MLP120", f"there is no {what} '{text}'; looked for {_shown(place, text)}.")
            return None
        return path


def _shown(place: Place, text: str) -> str:
    return f"'{posixpath.normpath(posixpath.join(posixpath.dirname(place.file), text))}'"


def data_path(text: str, source: Source, place: Place, faults: Faults) -> str | None:
    """Check the path of a data input and bring it to its one form; ``None`` if it is none of the allowed ones."""
    match = _DATASTORE.fullmatch(text)
    if match:
        segments = match[2].split("/")
        if ".." in segments or "." in segments:
            faults.add(place, "MLP124", f"'{text}' leaves its datastore or is not in plain form; drop '.' and '..'.")
            return None
        return f"azureml://datastores/{match[1]}/paths/{match[2].strip('/')}"
    if _ASSET.fullmatch(text):
        return text
    if text.startswith(("/", "~")) or _SCHEME.match(text) or "\0" in text:
        advice = "Declare a datastore in workspace.yml for data elsewhere."
        faults.add(place, "MLP124", f"'{text}' is not a data path; allowed: {_DATA_FORMS}. {advice}")
        return None
    return source.rebase(text)
