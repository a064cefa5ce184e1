"""Why a step is run, in exact words, for every part of its identity."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.execution.explain import explain_miss, input_manifest_port
from airflow_mlpipe.execution.resolve import ResolvedStep, resolve_step
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.frozen import checked, replaced
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.workspace import Workspace
from tests.execution.conftest import make_workspace

NewRun = Callable[..., RunInfo]
RAW = {"path": "azureml://datastores/landing/paths/raw"}


@dataclass
class History:
    """A step that was run once; :meth:`why` says why it runs now."""

    workspace: Workspace
    run: RunInfo
    record: ReuseRecord | None = None

    def resolve(self, **fields: Any) -> ResolvedStep:
        step = checked(Step, {"name": "train", "command": "train", **fields})
        return resolve_step(self.workspace, step, self.run, lambda name: None)

    def ran(self, **fields: Any) -> None:
        resolved = self.resolve(**fields)
        attempt = self.workspace.reuse.new_attempt()
        if resolved.code is not None:
            self.workspace.reuse.keep_code(resolved.code)
        for port, item in resolved.data.items():
            manifest = item.manifest(self.workspace)
            assert manifest is not None
            self.workspace.reuse.write_manifest(attempt, input_manifest_port(port), manifest)
        self.record = ReuseRecord(
            key=resolved.fingerprint.key,
            nonce="n",
            parts=json.loads(json.dumps(resolved.fingerprint.parts)),
            attempt=attempt,
            outputs={},
            pipeline="demo",
            run_id="r1",
            step="train",
            seconds=1.0,
            created=datetime.now(timezone.utc),
        )

    def why(self, **fields: Any) -> str:
        return explain_miss(self.workspace, self.resolve(**fields), self.record)


@pytest.fixture
def history(tmp_path: Path, new_run: NewRun) -> History:
    return History(make_workspace(tmp_path), new_run())


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "landing" / "raw"
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / f"{number}.csv").write_text("1")
    return folder


def test_a_step_that_never_ran(history: History) -> None:
    assert history.why() == "no earlier result"


def test_a_step_whose_result_is_gone(history: History) -> None:
    history.ran()
    assert history.why() == "no stored result (an identical one, of run r1, is gone)"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {"command": "train --fast"}, "command: train -> train --fast"),
        ({"inputs": {"lr": 0.1}}, {"inputs": {"lr": 0.2}}, "input lr: 0.1 -> 0.2"),
        ({"inputs": {"lr": 1}}, {"inputs": {"lr": "1"}}, "input lr: 1 -> '1'"),
        ({}, {"inputs": {"lr": 0.2}}, "input lr: 0.2 (was not set)"),
        ({"inputs": {"lr": 0.1}}, {}, "input lr: no longer set (was 0.1)"),
        (
            {"environment_variables": {"MODE": "train"}},
            {"environment_variables": {"MODE": "eval"}},
            "environment variable MODE: train -> eval",
        ),
        ({}, {"outputs": {"o": {}}}, "output o is new"),
        ({"outputs": {"o": {}}}, {}, "output o is gone"),
        (
            {"outputs": {"o": {}}},
            {"outputs": {"o": {"type": "uri_file"}}},
            "type of output o: uri_folder -> uri_file",
        ),
        ({"outputs": {"o": {}}}, {"outputs": {"o": {"optional": True}}}, "output o may stay empty"),
        ({"outputs": {"o": {"optional": True}}}, {"outputs": {"o": {}}}, "output o may no longer stay empty"),
        ({}, {"reuse_version": "2"}, "reuse_version '' -> 2"),
        (
            {"environment": {"pip_requirements": ["scikit-learn==1.7"]}},
            {"environment": {"pip_requirements": ["scikit-learn==1.8"]}},
            "package scikit-learn 1.7 -> 1.8",
        ),
        (
            {"environment": {"pip_requirements": ["numpy==2.0"]}},
            {"environment": {"pip_requirements": ["numpy==2.0", "scipy==1.1"]}},
            "package scipy 1.1 added",
        ),
        (
            {"environment": {"pip_requirements": ["numpy==2.0", "scipy"]}},
            {"environment": {"pip_requirements": ["numpy>=2.0"]}},
            "package numpy 2.0 -> >=2.0, package scipy of any version removed",
        ),
        (
            {"environment": {"image": "python:3.11"}},
            {"environment": {"image": "python:3.12"}},
            "image python:3.11 -> python:3.12",
        ),
        (
            {"command": "python train.py --rows 1000 --columns 2000 --seed 42 --depth 12 --rate 0.1"},
            {"command": "python train.py --rows 1000 --columns 2000 --seed 42 --depth 12 --rate 0.2"},
            "command: ... 0.1 -> ... 0.2",
        ),
    ],
)
def test_each_part_is_named(before: dict[str, Any], after: dict[str, Any], words: str, history: History) -> None:
    history.ran(**before)
    assert history.why(**after) == words


def test_packages_of_the_targets_own_python_are_named(history: History) -> None:
    history.ran()
    assert history.record is not None
    packages = {**history.record.parts["environment"], "pydantic": "1.0", "python": "3.8.1", "gone": "2"}
    del packages["pytest"]
    history.record = replaced(history.record, parts={**history.record.parts, "environment": packages})
    why = history.why()
    assert "package gone 2 removed, package pydantic 1.0 -> 2" in why
    assert why.endswith(", 1 more package")


def test_several_differences_are_all_named_the_command_first(history: History) -> None:
    history.ran(inputs={"lr": 0.1}, environment_variables={"MODE": "a"})
    why = history.why(command="x", inputs={"lr": 0.2}, environment_variables={"MODE": "b"})
    assert why == "command: train -> x; input lr: 0.1 -> 0.2; environment variable MODE: a -> b"


def test_source_files_are_named_with_the_first_changed_line(history: History, tmp_path: Path) -> None:
    code = tmp_path / "src"
    code.mkdir()
    for name in "abcde":
        (code / f"{name}.py").write_text("one\ntwo\n")
    history.ran(code="src")
    (code / "a.py").write_text("one\n2\n")
    assert history.why(code="src") == "source changed: a.py (line 2: two -> 2)"
    (code / "b.py").unlink()
    (code / "new.py").write_text("")
    assert history.why(code="src") == "source changed: a.py (line 2: two -> 2), b.py (removed), new.py (new)"
    (code / "c.py").chmod(0o755)
    (code / "d.py").write_text("")
    why = history.why(code="src")
    assert why == ("source changed: a.py (line 2: two -> 2), b.py (removed), c.py (line ends or mode), 2 more files")


def test_changed_new_and_gone_files_of_an_input_are_counted_and_named(history: History, raw: Path) -> None:
    history.ran(inputs={"raw": RAW})
    (raw / "3.csv").write_text("2")
    assert history.why(inputs={"raw": RAW}) == "input raw: 1 of 5 files changed: 3.csv"
    (raw / "9.csv").write_text("3")
    (raw / "0.csv").unlink()
    assert history.why(inputs={"raw": RAW}) == "input raw: 1 of 5 files changed, 1 new, 1 gone: 3.csv, 9.csv, 0.csv"


def test_many_files_are_counted_in_thousands_and_not_all_named(history: History, raw: Path) -> None:
    for number in range(1200):
        (raw / f"{number:04}.csv").write_text("1")
    history.ran(inputs={"raw": RAW})
    for number in range(1100):
        (raw / f"{number:04}.csv").write_text("2")
    why = history.why(inputs={"raw": RAW})
    assert why == "input raw: 1,100 of 1,205 files changed: 0000.csv, 0001.csv, 0002.csv, 1,097 more files"


def test_only_new_or_only_gone_files(history: History, raw: Path) -> None:
    history.ran(inputs={"raw": RAW})
    (raw / "9.csv").write_text("3")
    assert history.why(inputs={"raw": RAW}) == "input raw: 1 of 6 files new: 9.csv"
    (raw / "9.csv").unlink()
    (raw / "0.csv").unlink()
    assert history.why(inputs={"raw": RAW}) == "input raw: 1 of 5 files gone: 0.csv"
    (raw / "0.csv").write_text("1")
    (raw / "empty").mkdir()
    assert history.why(inputs={"raw": RAW}) == "input raw: its empty folders differ"


def test_a_single_file_and_a_lost_manifest_have_other_contents(history: History, raw: Path) -> None:
    single = {"path": RAW["path"] + "/0.csv", "type": "uri_file"}
    history.ran(inputs={"raw": single})
    (raw / "0.csv").write_text("2")
    assert history.why(inputs={"raw": single}) == "input raw has other contents"
    history.ran(inputs={"raw": RAW})
    assert history.record is not None
    history.workspace.datastore().delete(f"{history.record.attempt}/raw.input.manifest.json")
    (raw / "0.csv").write_text("3")
    assert history.why(inputs={"raw": RAW}) == "input raw has other contents"


def test_a_new_port_a_lost_port_and_another_type(history: History, raw: Path) -> None:
    history.ran(inputs={"raw": RAW})
    assert history.why() == "input raw is gone"
    assert history.why(inputs={"raw": {**RAW, "type": "mltable"}}) == "type of input raw: uri_folder -> mltable"
    history.ran()
    assert history.why(inputs={"raw": RAW}) == "input raw is new"


def test_markers_are_explained_as_markers(history: History, raw: Path) -> None:
    history.ran(inputs={"raw": RAW})
    marked = {**RAW, "identity": "stat"}
    assert history.why(inputs={"raw": marked}) == "identity of input raw: content -> stat"
    history.ran(inputs={"raw": marked})
    os.utime(raw / "0.csv", ns=(1, 1))
    assert history.why(inputs={"raw": marked}) == "input raw: other names, sizes or times of its files"


def test_an_input_that_no_longer_counts(history: History, raw: Path) -> None:
    history.ran(inputs={"raw": RAW})
    assert history.why(inputs={"raw": {**RAW, "identity": "ignore"}}) == "input raw is gone"


def test_a_parallel_setting_is_named_by_its_path(history: History, raw: Path) -> None:
    task = {"entry_script": "score.py", "input": "raw"}
    history.ran(type="parallel", command=None, inputs={"raw": RAW}, parallel=task)
    why = history.why(type="parallel", command=None, inputs={"raw": RAW}, parallel={**task, "mini_batch_size": 20})
    assert why == "parallel.mini_batch_size: 10 -> 20"


def test_another_format_of_identities(history: History) -> None:
    history.ran()
    assert history.record is not None
    old = replaced(history.record, parts={**history.record.parts, "schema": 0})
    history.record = old
    assert history.why() == "the format of identities changed with this version of mlpipe"
