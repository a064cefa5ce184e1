"""Files: who owns them, when they change, what is left over."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from airflow_mlpipe import __version__
from airflow_mlpipe.errors import ConfigError, SpecError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.generator import DagFile, Loader, Renderer, build, cause, diff, is_current, orphans, write_file
from airflow_mlpipe.generator.drift import read_header
from airflow_mlpipe.spec.model import AirflowBlock, PipelineSpec
from tests.generator.specs import pipeline


@pytest.fixture
def spec(tmp_path: Path) -> PipelineSpec:
    (tmp_path / "pipeline.yml").write_text("type: pipeline\n")
    return pipeline(tmp_path)


@pytest.fixture
def file(spec: PipelineSpec, tmp_path: Path) -> DagFile:
    [file] = build([spec], tmp_path / "dags", Renderer())
    return file


def test_a_file_is_written_whole_once_and_leaves_nothing_beside_it(file: DagFile) -> None:
    assert not is_current(file.path, file.text)
    write_file(file.path, file.text)
    before = file.path.stat()
    assert is_current(file.path, file.text)
    assert [path.name for path in file.path.parent.iterdir()] == ["flights.py"]
    assert before.st_mode & 0o400


def test_a_failed_write_leaves_the_old_file_and_nothing_else(file: DagFile) -> None:
    write_file(file.path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_file(file.path, "\ud800")
    assert file.path.read_text() == "old"
    assert len(list(file.path.parent.iterdir())) == 1


def test_two_pipelines_with_one_id_are_both_named(spec: PipelineSpec, tmp_path: Path) -> None:
    other = replaced(spec, source=tmp_path / "other.yml")
    with pytest.raises(SpecError) as caught:
        build([spec, other], tmp_path / "dags", Renderer())
    assert str(caught.value).startswith(
        f"{tmp_path}/other.yml:1:1 error MLP152  airflow.dag_id: {tmp_path}/pipeline.yml"
    )


def test_a_file_of_another_living_spec_is_not_replaced(file: DagFile, spec: PipelineSpec, tmp_path: Path) -> None:
    write_file(file.path, file.text)
    other = replaced(spec, source=tmp_path / "other.yml")
    with pytest.raises(SpecError, match=r"comes from .*/pipeline\.yml, which has the same DAG id"):
        build([other], tmp_path / "dags", Renderer())
    (tmp_path / "pipeline.yml").rename(tmp_path / "other.yml")
    [moved] = build([other], tmp_path / "dags", Renderer())
    assert moved.path == file.path


def test_a_file_that_a_person_wrote_is_not_replaced(file: DagFile, spec: PipelineSpec, tmp_path: Path) -> None:
    write_file(file.path, "from airflow.sdk import DAG\n")
    with pytest.raises(SpecError, match=r"MLP153.*was not written by 'mlpipe generate'"):
        build([spec], tmp_path / "dags", Renderer())


@pytest.mark.parametrize("dag_id", ["../x", ".hidden", "a/b", "é", "x" * 201, "a\n", ""])
def test_an_id_that_is_no_file_name_is_refused(spec: PipelineSpec, tmp_path: Path, dag_id: str) -> None:
    with pytest.raises(SpecError, match="MLP151"):
        build([replaced(spec, name=dag_id)], tmp_path / "dags", Renderer())


def test_all_faults_of_all_pipelines_are_told(spec: PipelineSpec, tmp_path: Path) -> None:
    bad = replaced(spec, name="a/b")
    misfit = replaced(spec, name="x", airflow=AirflowBlock(template="retraining"))
    with pytest.raises(SpecError) as caught:
        build([bad, spec, misfit], tmp_path / "dags", Renderer())
    assert [fault.code for fault in caught.value.faults] == ["MLP151", "MLP154"]  # type: ignore[attr-defined]


def test_the_header_tells_the_spec_and_the_version(file: DagFile, spec: PipelineSpec, tmp_path: Path) -> None:
    write_file(file.path, file.text)
    header = read_header(file.path)
    assert header is not None
    assert (header.version, header.source) == (__version__, "../pipeline.yml")
    assert read_header(tmp_path / "pipeline.yml") is None
    assert read_header(tmp_path / "nothing.py") is None


@pytest.mark.parametrize(
    "name", ["a b.yml", "a\\new.yml", "line\nbreak.yml", 'quo"te.yml', "o'b.yml", "ü\u202e.yml", "#.yml"]
)
def test_a_spec_is_found_from_the_header_whatever_its_name(spec: PipelineSpec, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("type: pipeline\n")
    [file] = build([replaced(spec, source=tmp_path / name)], tmp_path / "dags", Renderer())
    write_file(file.path, file.text)
    assert orphans(tmp_path / "dags", {}) == []
    (tmp_path / name).unlink()
    assert orphans(tmp_path / "dags", {}) == [file.path]


def test_orphans_are_files_of_ours_whose_spec_is_gone_or_makes_another(
    file: DagFile, spec: PipelineSpec, tmp_path: Path
) -> None:
    write_file(file.path, file.text)
    (tmp_path / "dags/by_hand.py").write_text("from airflow.sdk import DAG\n")
    assert orphans(tmp_path / "dags", {file.path: file.source}) == []
    [renamed] = build([replaced(spec, name="renamed")], tmp_path / "dags", Renderer())
    assert orphans(tmp_path / "dags", {renamed.path: renamed.source}) == [file.path]


def test_the_diff_goes_from_the_file_to_the_spec(file: DagFile) -> None:
    assert "--- /dev/null" in diff(file)
    write_file(file.path, file.text.replace("schedule=None", 'schedule="@daily"'))
    lines = diff(file).splitlines()
    assert '-    schedule="@daily",' in lines
    assert "+    schedule=None," in lines


def test_the_cause_of_a_difference_is_told(file: DagFile) -> None:
    assert cause(file) == "is not there"
    write_file(file.path, file.text + "# mine\n")
    assert cause(file).startswith("was edited by hand")
    write_file(file.path, file.text.replace("spec hash: sha256:", "spec hash: sha256:0"))
    assert cause(file) == "is older than its spec"
    write_file(file.path, file.text.replace(__version__, "0.0.1", 1))
    assert cause(file) == f"was written by airflow-mlpipe 0.0.1; this is {__version__}"


def _loader(program: str) -> list[str]:
    return [sys.executable, "-c", f"import json, os, sys\n{program}"]


ANSWER = """
print('noise', file=sys.stderr)
for line in sys.stdin:
    print(json.dumps({name: f'no {name} {os.getpid()}' for name in os.listdir(line.strip())}), flush=True)
"""


def test_what_the_loader_says_is_told_by_file_and_one_process_does_all(file: DagFile, tmp_path: Path) -> None:
    other = DagFile(tmp_path / "dags" / "other.py", "", file.source)
    with Loader(_loader(ANSWER), tmp_path / "dags") as loader:
        first, second = loader.errors([file]), loader.errors([other])
    assert list(first) == [file.path]
    assert first[file.path].startswith("no flights.py ")
    assert first[file.path].split()[-1] == second[other.path].split()[-1]
    assert not file.path.exists()


def test_a_loader_that_does_not_come_up_is_told_with_its_words(file: DagFile, tmp_path: Path) -> None:
    with (
        Loader(_loader("sys.exit('no module named airflow')"), tmp_path / "dags") as loader,
        pytest.raises(ConfigError, match=r"(?s)could not be started.*no module named airflow"),
    ):
        loader.errors([file])


def test_nothing_to_check_starts_nothing(tmp_path: Path) -> None:
    with Loader(["/does/not/exist"], tmp_path) as loader:
        assert loader.errors([]) == {}
