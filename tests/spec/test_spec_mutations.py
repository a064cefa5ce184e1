"""Whatever a file holds, the answer is a pipeline or faults with places: never another error."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.diagnostics import Faults
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.reader import read_document

GOOD = Path(__file__).parent / "good"
MUTATED = ("flight_delays.yml", "components/train.yml", "components/score.yml", "azure_example.yml", "recurring.yml")

strange = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**20),
    st.floats(),
    st.sampled_from(
        ["", " ", "x", "${{", "${{inputs.x}}", "${{parent.jobs.train.outputs.model}}", "${{parent.inputs.raw}}"]
    ),
    st.sampled_from(
        ["azureml:x", "azureml://datastores/a/paths/", "../..", "/", "file:", "~", ".", "command", "parallel"]
    ),
    st.sampled_from(
        [[], {}, [[]], {"": None}, {"type": []}, {"type": "integer"}, {"path": {}}, ["a", 1], {"type": "cron"}]
    ),
)


def paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(deeper for key, value in items for deeper in paths(value, (*path, key)))]


def source(name: str) -> dict[str, Any]:
    document = read_document(GOOD / name, name, Faults())
    assert document is not None
    return document.data


SOURCES = {name: source(name) for name in MUTATED}
mutations = st.sampled_from(MUTATED).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.lists(
            st.tuples(
                st.sampled_from(paths(SOURCES[name])[1:]),
                st.sampled_from(["replace", "drop", "rename", "add"]),
                strange,
            ),
            min_size=1,
            max_size=3,
        ),
    )
)


def mutate(data: Any, path: tuple[Any, ...], how: str, value: Any) -> None:
    for key in path[:-1]:
        if not isinstance(data, dict | list) or (isinstance(data, dict) and key not in data):
            return
        if isinstance(data, list) and (not isinstance(key, int) or key >= len(data)):
            return
        data = data[key]
    if not isinstance(data, dict) or path[-1] not in data:
        return
    if how == "replace":
        data[path[-1]] = value
    elif how == "drop":
        del data[path[-1]]
    elif how == "rename":
        data[f"{path[-1]}s"] = data.pop(path[-1])
    else:
        data["added"] = value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(GOOD, tmp_path_factory.mktemp("mutations") / "good"))


@settings(max_examples=150)
@given(mutation=mutations)
def test_no_change_of_a_good_file_brings_down_the_reader(folder: Path, mutation: tuple[str, list[Any]]) -> None:
    name, changes = mutation
    data = copy.deepcopy(SOURCES[name])
    for path, how, value in changes:
        mutate(data, path, how, value)
    target = folder / name
    before = target.read_text()
    target.write_text(json.dumps(data, ensure_ascii=False).replace("Infinity", ".inf").replace("NaN", ".nan"))
    pipeline = folder / (name if "/" not in name else "flight_delays.yml")
    outcome: PipelineSpec | SpecError
    try:
        outcome = load_pipeline(pipeline)
    except SpecError as error:
        outcome = error
    finally:
        target.write_text(before)
    if isinstance(outcome, SpecError):
        assert outcome.faults
        assert all(str(fault).startswith(str(folder)) for fault in outcome.faults)
