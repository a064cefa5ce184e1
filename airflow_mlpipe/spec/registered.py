"""Registered components beside a pipeline: ``azureml:train:3`` and ``azureml:train@latest`` as folders.

``mlpipe component get`` lays them down and writes what ``latest`` is. Reading a pipeline asks no store, so the same
files give the same pipeline everywhere. The folder belongs into version control, like a lock file.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_mlpipe.spec.diagnostics import Faults, Place, listed

FOLDER = "registered"
"""Beside the pipeline file; in it ``<name>/<version>/`` and ``<name>/latest``."""
CARD = "mlpipe-component.json"
LATEST = "latest"

_REF = re.compile(r"azureml:([A-Za-z0-9_][A-Za-z0-9_.\-]*)(?::([A-Za-z0-9_.\-]+)|@([A-Za-z0-9_.\-]+))")
_REGISTRY = "azureml://registries/"


@dataclass(frozen=True)
class Registered:
    """A registered component that lies beside the pipeline.

    :param file: the component file, relative to the pipeline's folder.
    """

    name: str
    version: str
    file: str


def parse_reference(text: str) -> tuple[str, str] | None:
    """Return name and version of ``azureml:<name>:<version>``; the version is ``latest`` for ``@latest``."""
    match = _REF.fullmatch(text)
    if match is None or (match[3] is not None and match[3] != LATEST):
        return None
    return match[1], match[2] or LATEST


def find_registered(text: str, folder: Path, place: Place, faults: Faults) -> Registered | None:
    """Return where a registered component lies; ``None`` after noting that it is not there.

    :param folder: of the pipeline.
    """
    if text.startswith(_REGISTRY):
        advice = "fetch the component's files, 'mlpipe component register' them, and write azureml:<name>:<version>"
        faults.add(place, "MLP026", f"'{text}': registries of Azure cannot be reached from here; {advice}.")
        return None
    reference = parse_reference(text)
    if reference is None:
        forms = "./train.yml, azureml:<name>:<version> or azureml:<name>@latest"
        faults.add(place, "MLP024", f"must be {forms}, got '{text}'.")
        return None
    name, version = reference
    home = folder / FOLDER / name
    if version == LATEST:
        faults.looks.at_content(home / LATEST)
        version = _text(home / LATEST).strip() or LATEST
    faults.looks.at_content(home / version / CARD)
    card = _card(home / version / CARD)
    if card is None:
        there = listed(path.parent.name for path in home.glob(f"*/{CARD}")) if home.is_dir() else "none"
        advice = f"'mlpipe component get {text.removeprefix('azureml:')}' in this folder lays it down"
        faults.add(place, "MLP125", f"'{text}' is not in {FOLDER}/{name}; there: {there}. {advice}.")
        return None
    return Registered(name, version, f"./{FOLDER}/{name}/{version}/{card['file']}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _card(path: Path) -> dict[str, Any] | None:
    try:
        card = json.loads(_text(path))
    except ValueError:
        return None
    file = card.get("file") if isinstance(card, dict) else None
    is_plain = isinstance(file, str) and not file.startswith("/") and ".." not in file.split("/")
    return card if is_plain else None
