"""A pipeline from the shelf is the pipeline that reading its files gives, or it is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.project.shelf import read_pipeline
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec import loading as reading
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.user_cache import user_cache

SPECS = Path(__file__).parents[1] / "spec"
FILES = sorted([*(SPECS / "good").glob("*.yml"), *(SPECS / "azure").glob("*.yml"), *(SPECS / "bad").glob("m*.yml")])
PIPELINE = """\
type: pipeline
name: small
inputs: {rate: {type: number, default: 1.0}}
jobs:
  one: {type: command, component: ./one.yml}
  two:
    type: command
    command: cat ${{inputs.data}} > ${{outputs.out}}/x
    inputs: {data: "${{parent.jobs.one.outputs.out}}"}
    outputs: {out: {type: uri_folder}}
"""
COMPONENT = """\
type: command
name: one
command: echo 1 > ${{outputs.out}}/x
code: ./src
outputs: {out: {type: uri_folder}}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shelf for this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The YAML files that were read, in their order."""
    seen: list[str] = []
    read = reading.read_document

    def note(path: Path, *rest: object) -> object:
        seen.append(path.name)
        return read(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "read_document", note)
    return seen


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A pipeline with a component."""
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "one.yml").write_text(COMPONENT)
    (folder / "pipeline.yml").write_text(PIPELINE)
    return folder / "pipeline.yml"


def outcome(read: Callable[[Path], PipelineSpec], path: Path) -> object:
    try:
        return read(path)
    except SpecError as error:
        return error.faults


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}/{path.stem}" for path in FILES])
def test_every_file_reads_the_same_the_first_and_the_second_time(path: Path) -> None:
    read = outcome(load_pipeline, path)
    assert outcome(read_pipeline, path) == read
    assert outcome(read_pipeline, path) == read


def test_an_unchanged_pipeline_is_not_read_again(pipeline: Path, reads: list[str]) -> None:
    first = read_pipeline(pipeline)
    assert reads == ["pipeline.yml"]
    assert read_pipeline(pipeline) == first
    assert reads == ["pipeline.yml"]


def test_only_the_user_may_read_what_lies_there(pipeline: Path) -> None:
    read_pipeline(pipeline)
    [file] = (user_cache() / "pipelines").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_changed_component_is_seen(pipeline: Path) -> None:
    read_pipeline(pipeline)
    component = pipeline.with_name("one.yml")
    component.write_text(COMPONENT.replace("echo 1", "echo 2"))
    assert read_pipeline(pipeline).steps[0].command == "echo 2 > ${{outputs.out}}/x"


def test_a_source_folder_that_is_gone_is_seen(pipeline: Path) -> None:
    read_pipeline(pipeline)
    shutil.rmtree(pipeline.with_name("src"))
    with pytest.raises(SpecError, match="src"):
        read_pipeline(pipeline)


def test_a_fault_is_told_each_time_until_it_is_mended(pipeline: Path) -> None:
    pipeline.write_text(PIPELINE.replace("cat ${{inputs.data}}", "cat ${{inputs.date}}"))
    for _ in range(2):
        with pytest.raises(SpecError, match="date"):
            read_pipeline(pipeline)
    pipeline.write_text(PIPELINE)
    assert read_pipeline(pipeline).name == "small"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b"\xff", b"\0" * 512])
def test_a_damaged_shelf_costs_a_read(pipeline: Path, reads: list[str], damage: bytes) -> None:
    first = read_pipeline(pipeline)
    [file] = (user_cache() / "pipelines").iterdir()
    file.write_bytes(damage)
    assert read_pipeline(pipeline) == first
    assert reads == ["pipeline.yml", "pipeline.yml"]
    assert read_pipeline(pipeline) == first
    assert len(reads) == 2


def test_another_reader_reads_again(pipeline: Path, reads: list[str]) -> None:
    read_pipeline(pipeline)
    [file] = (user_cache() / "pipelines").iterdir()
    text = file.read_text()
    file.write_text(text.replace('"reader":"', '"reader":"0'))
    read_pipeline(pipeline)
    assert len(reads) == 2


def test_messages_name_the_file_as_this_call_named_it(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.write_text(PIPELINE.replace("type: pipeline\n", "type: pipeline\nexperiment_name: x\n"))
    monkeypatch.chdir(pipeline.parent)
    [far], [near] = read_pipeline(pipeline).warnings, read_pipeline(Path("pipeline.yml")).warnings
    assert far.file == str(pipeline)
    assert near.file == "pipeline.yml"


def test_a_cache_that_cannot_be_written_is_no_error(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert read_pipeline(pipeline) == read_pipeline(pipeline)
