"""Conformance: files in Azure ML's style use every key of the schema, and each key does what the table says.

*honoured*: without the key, another pipeline comes out (or none). *warned*: a warning points at it. *refused*: an error
points at it. A key that is none of these would be dropped in silence; there is none.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.frozen import plain, replaced
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.diagnostics import Faults
from airflow_mlpipe.spec.key_table import LATER, READ, as_markdown, key_rows
from airflow_mlpipe.spec.reader import read_document

HERE = Path(__file__).parent
FILES = sorted((HERE / "azure").glob("*.yml"))
AZURE: dict[str, list[str]] = json.loads((HERE / "azure_ml_keys.json").read_text())
SCALARS = ("$schema", "is_control")
IMPLIED = {
    ("command job", "type"),
    ("command component", "type"),
    ("parallel component", "type"),
    ("pipeline component", "type"),
    ("pipeline job", "type"),
}
"""Keys that say what is so without them: an editor's schema, what a condition may read, the usual type of a job."""

_NESTED = {
    ("command job", "limits"): "limits of a command job",
    ("parallel job", "limits"): "limits of a command job",
    ("command component", "limits"): "limits of a command job",
    ("do_while job", "limits"): "limits of a do_while job",
    ("sweep job", "limits"): "limits of a sweep job",
    ("automl job", "limits"): "limits of an automl job",
    ("spark job", "entry"): "entry of a spark job",
    ("sweep job", "resources"): "resources",
}
_ANYWHERE = {
    "environment": "environment",
    "distribution": "distribution",
    "resources": "resources",
    "retry_settings": "retry_settings",
    "settings": "settings",
    "sampling_algorithm": "sampling_algorithm",
    "objective": "objective",
    "early_termination": "early_termination",
    "task": "task of a parallel job",
}

Path_ = tuple[Any, ...]


def _kind(job: dict[str, Any], noun: str) -> str:
    body = job.get("component")
    kind = job.get("type") or ("pipeline" if "jobs" in job else "parallel" if "task" in job else None)
    if kind is None and isinstance(body, dict):
        kind = _kind(body, "").strip()
    if kind is None and isinstance(body, str):
        kind = {"score": "parallel", "region": "pipeline"}.get(Path(body).stem)
    return f"{kind or 'command'} {noun}"


def occurrences(data: dict[str, Any], where: str, at: Path_ = ()) -> Iterator[tuple[str, str, Path_]]:
    """Yield every key of a file: what holds it, the key, and its path."""
    for key, value in data.items():
        if key != "airflow":
            yield where, key, (*at, key)
            for holder, part, path in _parts(where, key, value):
                yield from occurrences(part, holder, (*at, key, *path))


def _parts(where: str, key: str, value: Any) -> Iterator[tuple[str, dict[str, Any], Path_]]:
    """Yield the mappings of known keys that a value holds, and where in it they are."""
    inner = _NESTED.get((where, key)) or _ANYWHERE.get(key)
    if not isinstance(value, dict) or (where, key) == ("spark job", "resources"):
        return
    if key in ("inputs", "outputs", "jobs"):
        for name, part in value.items():
            if isinstance(part, dict):
                yield _kind(part, "job") if key == "jobs" else key.removesuffix("s"), part, (name,)
    elif key == "component":
        yield _kind(value, "component"), value, ()
    elif inner is not None:
        yield inner, value, ()


def dotted(path: Path_) -> str:
    return ".".join(str(key) for key in path)


def outcome(folder: Path, data: dict[str, Any]) -> tuple[Any, set[str], dict[str, str]]:
    """Return the pipeline (None if refused), where warnings point, and where errors point."""
    (folder / "mutated.yml").write_text(json.dumps(data))
    try:
        spec = load_pipeline(folder / "mutated.yml")
    except SpecError as error:
        return None, set(), {fault.path: fault.code for fault in error.faults}
    shown = plain(replaced(spec, source=None, base=None, lines={}, files={}, warnings=()))
    return shown, {fault.path for fault in spec.warnings}, {}


def read(path: Path) -> dict[str, Any]:
    document = read_document(path, path.name, Faults())
    assert document is not None
    return document.data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("azure") / "files"
    shutil.copytree(HERE / "azure", target)
    return target


@pytest.fixture(scope="module")
def seen(folder: Path) -> dict[tuple[str, str], Counter[str]]:
    """What happened to each key, wherever it occurs in the files and in their components."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for path in FILES:
        data = read(path)
        for where, key, happened in _treatments(folder, data, data, "pipeline", ()):
            found.setdefault((where, key), Counter())[happened] += 1
    for stem, user, noun in (
        ("score", "20_parallel_component", "parallel component"),
        ("train", "28_command_component", "command component"),
        ("region", "24_nested", "pipeline component"),
    ):
        data = read(HERE / f"azure/{user}.yml")
        part = read(HERE / f"azure/components/{stem}.yml")
        for where, key, happened in _of_component(folder, data, part, stem, noun):
            found.setdefault((where, key), Counter())[happened] += 1
    return found


def _treatments(
    folder: Path, whole: dict[str, Any], part: dict[str, Any], where: str, at: Path_
) -> Iterator[tuple[str, str, str]]:
    before, warned, refused = outcome(folder, whole)
    for holder, key, path in occurrences(part, where, at):
        named = dotted(path)
        if holder in LATER:
            later = f"{named.partition('.')[0]}.{named.split('.')[1]}.type"
            yield holder, key, "refused" if named in refused else "warned" if {named, later} & warned else "dropped"
        elif any(text in refused for text in (named, f"{dotted(path[:-1])}.type")):
            yield holder, key, "refused"
        elif named in warned:
            yield holder, key, "warned"
        elif before is None:
            continue
        else:
            changed = copy.deepcopy(whole)
            inside = changed
            for step in path[:-1]:
                inside = inside[step]
            del inside[path[-1]]
            yield holder, key, "honoured" if outcome(folder, changed)[0] != before else _inside(named, warned)


def _of_component(
    folder: Path, data: dict[str, Any], part: dict[str, Any], stem: str, noun: str
) -> Iterator[tuple[str, str, str]]:
    place = folder / f"components/{stem}.yml"
    original = place.read_text()
    before, _, _ = outcome(folder, data)
    spec = load_pipeline(folder / "mutated.yml")
    warned = {fault.path for fault in spec.warnings if fault.file.endswith(place.name)}
    for holder, key, path in occurrences(part, noun):
        changed = copy.deepcopy(part)
        inside = changed
        for step in path[:-1]:
            inside = inside[step]
        del inside[path[-1]]
        place.write_text(json.dumps(changed))
        after = outcome(folder, data)[0]
        place.write_text(original)
        named = dotted(path)
        yield holder, key, "warned" if named in warned else "honoured" if after != before else _inside(named, warned)


def _inside(named: str, warned: set[str]) -> str:
    """A mapping of which every key is named in a warning is named by them."""
    return "warned" if any(path.startswith(f"{named}.") for path in warned) else "dropped"


def test_there_are_forty_files_and_more() -> None:
    assert len(FILES) >= 40


@pytest.mark.parametrize("where", AZURE)
def test_the_models_know_every_key_of_azure_ml(where: str) -> None:
    model = {**READ, **LATER}[where]
    known = {info.alias or name for name, info in model.model_fields.items()}
    assert set(AZURE[where]) - known == set()
    assert known - set(AZURE[where]) <= {"airflow", "$schema", "schema_url", *_common(where)}


def _common(where: str) -> set[str]:
    """Keys that Azure ML knows at the neighbours of a place, and that are read at all of them alike."""
    everything = {key for keys in AZURE.values() for key in keys}
    ours = {"continue_run_on_failed_optional_input", "notification_settings", "pip_requirements"}
    return everything | ours | {"is_deterministic", "version", "jobs", "settings"} if where else set()


def test_no_key_is_dropped_in_silence(seen: dict[tuple[str, str], Counter[str]]) -> None:
    dropped = {
        pair: dict(counts)
        for pair, counts in seen.items()
        if set(counts) == {"dropped"} and pair[1] not in SCALARS and pair not in IMPLIED
    }
    assert dropped == {}


def test_every_key_is_treated_as_the_table_says(seen: dict[tuple[str, str], Counter[str]]) -> None:
    wrong = []
    for row in key_rows():
        counts = seen.get((row.where, row.key), Counter())
        allowed = {row.treatment} | ({"warned"} if row.treatment == "honoured" else set())
        if not allowed & set(counts) and row.key in AZURE[row.where] and (row.where, row.key) not in IMPLIED:
            wrong.append((row.where, row.key, row.treatment, dict(counts)))
    assert [item for item in wrong if item[1] not in SCALARS] == []


def test_the_page_of_keys_is_the_table() -> None:
    page = (HERE.parents[1] / "docs/yaml-keys.md").read_text(encoding="utf-8")
    assert page == as_markdown(), "write it anew: python -m airflow_mlpipe.spec.key_table > docs/yaml-keys.md"
