"""Versions never change, the same content is one version, and a version carries all that it needs."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.errors import ConfigError, DataError
from airflow_mlpipe.publishing.publish import Publication, publish
from airflow_mlpipe.publishing.store import PublishedStore
from airflow_mlpipe.workspace import load_workspace

PIPELINE = """
type: pipeline
name: churn
description: Who leaves.
inputs:
  rate: {type: number, default: 0.1, max: 1}
jobs:
  train:
    type: command
    code: ./src
    command: ./train.sh ${{inputs.rate}} ${{outputs.model}}
    inputs: {rate: "${{parent.inputs.rate}}", raw: {type: uri_folder, path: ./data}}
    outputs: {model: {type: uri_folder}}
airflow:
  schedule: {type: cron, expression: "0 6 * * *"}
  start_date: 2024-01-01
"""


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline with a script, a link, data, and a workspace above it."""
    folder = tmp_path / "work" / "churn"
    (folder / "src").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "data" / "a.csv").write_text("1")
    (folder / "src" / "train.sh").write_text('#!/bin/sh\necho "$1" > "$2/model"\n')
    (folder / "src" / "train.sh").chmod(0o755)
    (folder / "src" / "latest.sh").symlink_to("train.sh")
    (folder / "pipeline.yml").write_text(PIPELINE)
    (tmp_path / "work" / "workspace.yml").write_text("name: test\n")
    monkeypatch.chdir(tmp_path / "work")
    return folder / "pipeline.yml"


@pytest.fixture
def store(pipeline: Path) -> PublishedStore:
    return PublishedStore(load_workspace(pipeline.parents[1] / "workspace.yml").datastore())


def change(pipeline: Path, text: str) -> None:
    (pipeline.parent / "src" / "train.sh").write_text(f"#!/bin/sh\n{text}\n")


def test_versions_count_and_the_same_content_is_one(pipeline: Path, store: PublishedStore) -> None:
    first, is_new = publish(store, Publication(pipeline))
    assert (first.name, first.version, first.dag_id, is_new) == ("churn", "1", "churn__v1", True)
    assert publish(store, Publication(pipeline)) == (first, False)
    change(pipeline, "echo two")
    second, is_new = publish(store, Publication(pipeline, description="with weather"))
    assert (second.version, second.description, is_new) == ("2", "with weather", True)
    assert store.versions("churn") == ["1", "2"]
    assert store.get("churn", "1") == first


def test_a_version_is_never_changed(pipeline: Path, store: PublishedStore) -> None:
    publish(store, Publication(pipeline, version="2.0"))
    change(pipeline, "echo other")
    with pytest.raises(ConfigError, match=r"churn:2\.0 is published with other content"):
        publish(store, Publication(pipeline, version="2.0"))
    assert publish(store, Publication(pipeline))[0].version == "1"


def test_many_at_once_get_a_version_each(pipeline: Path, store: PublishedStore, tmp_path: Path) -> None:
    copies = []
    for number in range(6):
        copy = tmp_path / "work" / f"copy{number}"
        shutil.copytree(pipeline.parent, copy, symlinks=True)
        change(copy / "pipeline.yml", f"echo {number}")
        copies.append(copy / "pipeline.yml")
    with ThreadPoolExecutor(6) as pool:
        records = list(pool.map(lambda path: publish(store, Publication(path))[0], copies))
    assert sorted(record.version for record in records) == ["1", "2", "3", "4", "5", "6"]
    assert len({record.code for record in records}) == 6


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("code: ./src", "code: ../elsewhere", "Not all that the pipeline names"),
        ("path: ./data", "path: ../data", r"jobs.train.inputs.raw: \.\./data"),
    ],
)
def test_what_lies_outside_is_refused_unless_the_root_holds_it(
    old: str, new: str, words: str, pipeline: Path, store: PublishedStore
) -> None:
    shutil.copytree(pipeline.parent / "src", pipeline.parents[1] / "elsewhere", symlinks=True)
    shutil.copytree(pipeline.parent / "data", pipeline.parents[1] / "data")
    pipeline.write_text(PIPELINE.replace(old, new))
    with pytest.raises(ConfigError, match=words):
        publish(store, Publication(pipeline))
    (pipeline.parents[1] / ".amlignore").write_text("/store\n")
    record, _ = publish(store, Publication(pipeline, root=pipeline.parents[1]))
    assert record.source == "churn/pipeline.yml"
    with pytest.raises(ConfigError, match="does not hold the pipeline"):
        publish(store, Publication(pipeline, root=pipeline.parent / "src"))


def test_an_ignored_pipeline_file_is_refused(pipeline: Path, store: PublishedStore) -> None:
    (pipeline.parent / ".amlignore").write_text("*.yml\n")
    with pytest.raises(ConfigError, match="is left out of the source"):
        publish(store, Publication(pipeline))


def test_names_that_could_be_no_dag_are_refused(pipeline: Path, store: PublishedStore) -> None:
    for name in ("a/b", "", "..", "ä", "x" * 200):
        with pytest.raises(ConfigError):
            publish(store, Publication(pipeline, name=name or "/"))
    with pytest.raises(ConfigError, match="--version"):
        publish(store, Publication(pipeline, version="1/2"))
    assert store.names() == []


def test_a_damaged_record_is_an_error_not_another_version(pipeline: Path, store: PublishedStore) -> None:
    publish(store, Publication(pipeline))
    [path] = (pipeline.parents[1] / "store").rglob("published/churn/1.json")
    path.write_bytes(path.read_bytes().replace(b"Who leaves", b"Who stayed"))
    with pytest.raises(DataError, match="churn:1 is damaged"):
        store.get("churn", "1")


@pytest.mark.airflow
def test_the_command_writes_a_dag_that_runs_the_version(
    pipeline: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dags = tmp_path / "dags"
    assert main(["publish", str(pipeline), "-o", str(dags)]) == 0
    assert "Published churn:1 (4 files" in capsys.readouterr().out
    text = (dags / "churn__v1.py").read_text()
    assert 'dag_id="churn__v1"' in text
    assert "schedule=None" in text
    assert "mlpipe publish --again churn:1 -o ." in text
    assert 'code="published/churn__v1/src"' in text
    source = dags / "published" / "churn__v1"
    assert (source / "src" / "train.sh").stat().st_mode & 0o100
    assert (source / "src" / "latest.sh").readlink() == Path("train.sh")
    assert (dags / "published" / ".airflowignore").read_text() == "*\n"

    assert main(["publish", str(pipeline), "-o", str(dags)]) == 0
    assert "This very content is published already as churn:1" in capsys.readouterr().out

    shutil.rmtree(pipeline.parent)
    (source / "src" / "train.sh").write_text("changed by hand")
    assert main(["publish", "--again", "churn:1", "-o", str(dags), "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (said["dag_id"], said["created"]) == ("churn__v1", False)
    assert "echo" in (source / "src" / "train.sh").read_text()
    assert (dags / "churn__v1.py").read_text() == text

    assert main(["publish", "--list", "--json"]) == 0
    assert [item["version"] for item in json.loads(capsys.readouterr().out)] == ["1"]
    assert main(["publish", "--list"]) == 0
    assert "churn__v1" in capsys.readouterr().out


def test_wrong_calls_say_what_to_write(pipeline: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["publish"]) == 2
    assert "--again NAME:VERSION" in capsys.readouterr().err
    assert main(["publish", "--again", "churn"]) == 2
    assert "Write NAME:VERSION" in capsys.readouterr().err
    assert main(["publish", "--again", "churn:7"]) == 2
    assert "There is no published pipeline churn:7" in capsys.readouterr().err
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "churn__v1.py").write_text("mine = 1\n")
    assert main(["publish", str(pipeline), "-o", str(tmp_path / "dags")]) == 2
    assert "was not written by mlpipe" in capsys.readouterr().err
    assert (tmp_path / "dags" / "churn__v1.py").read_text() == "mine = 1\n"
