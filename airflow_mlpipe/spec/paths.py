"""Paths in a pipeline: the allowed forms, and how those of a component become relative to the pipeline's folder."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from airflow_mlpipe.spec.diagnostics import Faults, Place

_DATASTORE = re.compile(r"azureml://datastores/([A-Za-z0-9_.\-]+)/paths/(.*)", re.DOTALL)
_ASSET = re.compile(r"azureml:[A-Za-z0-9_.\-]+(:[A-Za-z0-9_.\-]+|@latest)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:")
SECRETS = frozenset(
    {
        "sig",
        "signature",
        "token",
        "access_token",
        "key",
        "api_key",
        "apikey",
        "password",
        "pwd",
        "secret",
        "code",
        "auth",
    }
)
"""Names of query parameters that hold secrets, as far as names can tell."""
_DATA_FORMS = (
    "a path relative to the pipeline's folder (./data), azureml://datastores/<name>/paths/<path>, "
    "azureml:<name>:<version> or azureml:<name>@latest, and https://<host>/<path> in a data_transfer job"
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
        faults.looks.at_kind(target)
        found = {"file": target.is_file, "folder": target.is_dir}.get(what, target.exists)()
        if not found:
            faults.add(place, "MLP120", f"there is no {what} '{text}'; looked for {_shown(place, text)}.")
            return None
        return path


def _shown(place: Place, text: str) -> str:
    return f"'{posixpath.normpath(posixpath.join(posixpath.dirname(place.file), text))}'"


def is_remote(path: str) -> bool:
    """Return whether a data path is a URL, which only a data transfer reads."""
    return path.startswith("https://")


def _url(text: str, place: Place, faults: Faults) -> str | None:
    """Check the address of a file on a web server; it stands in DAG files and records, so it may hold no secret."""
    try:
        parts = urlsplit(text)
        whole = bool(parts.hostname) and parts.path.strip("/") != "" and (parts.port or 1) > 0
    except ValueError:
        whole, parts = False, urlsplit("")
    if not whole or parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        faults.add(
            place, "MLP124", f"'{text}' is not the URL of a file; write https://<host>/<path>, with %20 for a space."
        )
        return None
    names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if parts.username is not None or parts.password is not None or names & SECRETS or any("amz-" in n for n in names):
        why = "a URL here holds no password, token or signature: it is written to DAG files and records"
        advice = "Declare a datastore for it in workspace.yml"
        faults.add(place, "MLP124", f"{why}. {advice}.")
        return None
    return text


def datastore_path(text: str, place: Place, faults: Faults) -> str | None:
    """Check a path that must lie in a datastore below its root; ``None`` if it does not."""
    match = _DATASTORE.fullmatch(text)
    segments = match[2].strip("/").split("/") if match else []
    if match is None or {"", ".", ".."} & set(segments):
        form = "azureml://datastores/<name>/paths/<path>, without '.' and '..'"
        faults.add(place, "MLP124", f"'{text}' is no place in a datastore; write {form}.")
        return None
    return f"azureml://datastores/{match[1]}/paths/{'/'.join(segments)}"


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
    if is_remote(text):
        return _url(text, place, faults)
    if text.startswith("sftp://"):
        text_ = (
            "'sftp://' is no data path; declare a datastore of type sftp for that host in workspace.yml and name it."
        )
        faults.add(place, "MLP124", text_)
        return None
    if text.startswith(("/", "~")) or _SCHEME.match(text) or "\0" in text:
        advice = "Declare a datastore in workspace.yml for data elsewhere."
        faults.add(place, "MLP124", f"'{text}' is not a data path; allowed: {_DATA_FORMS}. {advice}")
        return None
    return source.rebase(text)
