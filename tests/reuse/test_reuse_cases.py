"""The cases of our list of ways in which reuse goes wrong elsewhere, one test each.

A case that another test holds already is in the table of ``docs/decisions/115-reuse-cases.md``; the last test here
sees that every case has a test, and that the tests which the table names exist.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlpipe.errors import DataError
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.planner import plan
from airflow_mlpipe.execution.resolve import resolve_step
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.run_pipeline import run_pipeline
from airflow_mlpipe.execution.turns import Waiting, await_turn
from airflow_mlpipe.fingerprint import Fingerprint
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

ROOT = Path(__file__).resolve().parents[2]
CASES = range(1, 67)


def key(value: Any) -> str:
    return Fingerprint({"parameters": value}).key


class Bench:
    """A workspace in a folder, and steps in it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.raw = folder / "landing" / "raw"
        self.raw.mkdir(parents=True, exist_ok=True)
        self.workspace = self.open(**settings)

    def open(self, **settings: Any) -> Workspace:
        stores = {"workspaceblobstore": {"type": "local", "path": "store"}}
        stores["landing"] = {"type": "local", "path": "landing"}
        target = {"local": {"type": "local", "workdir": "jobs"}}
        return workspace_from_mapping({"datastores": stores, "compute": target, **settings}, self.folder)

    def run(self, run_id: str, **more: Any) -> RunInfo:
        return RunInfo(more.pop("pipeline", "demo"), run_id, {}, {}, self.folder, **more)

    def step(self, **fields: Any) -> Step:
        return checked(Step, {"name": "s", "command": "echo x > ${{outputs.o}}/x", "outputs": {"o": {}}, **fields})

    def identity(self, workspace: Workspace | None = None, **fields: Any) -> str:
        step = self.step(**fields)
        return resolve_step(workspace or self.workspace, step, self.run("look"), lambda name: None).fingerprint.key

    def live(self, run: RunInfo, *steps: Step, said: list[str] | None = None) -> dict[str, StepRecord]:
        texts = [] if said is None else said
        outcome = run_pipeline(self.workspace, list(steps), run, lambda event: texts.append(event.text))
        assert outcome.succeeded, outcome.errors
        return outcome.records


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "work")


RAW = {"path": "azureml://datastores/landing/paths/raw"}


def test_case_01_values_do_not_run_into_each_other() -> None:
    assert key({"a": "1b2", "b": ""}) != key({"a": "1", "b": "2b"})


def test_case_02_values_that_look_alike_are_seven_keys() -> None:
    assert len({key({"a": value}) for value in (1, "1", True, 1.0, b"1", None, "None")}) == 7


def test_case_03_shapes_that_look_alike_differ() -> None:
    assert key((1, 2)) != key([1, 2])


def test_case_08_null_and_absent_differ() -> None:
    assert key({"a": None}) != key({})


def test_case_09_and_10_swapped_contents_and_renamed_ports_differ(bench: Bench) -> None:
    for name in ("one", "two"):
        (bench.raw / name).write_text(name)
    one, two = ({"path": f"{RAW['path']}/{name}", "type": "uri_file"} for name in ("one", "two"))
    keys = [bench.identity(inputs=inputs) for inputs in ({"a": one, "b": two}, {"a": two, "b": one}, {"c": one})]
    assert len(set(keys)) == 3
    assert bench.identity(inputs={"a": one}) != keys[2]


def test_case_13_another_pipeline_name_and_another_folder_hit(bench: Bench, tmp_path: Path) -> None:
    (bench.folder / "src").mkdir()
    (bench.folder / "src" / "a.py").write_text("1")
    bench.live(bench.run("r1"), bench.step(code="src"))
    assert bench.live(bench.run("r2", pipeline="renamed"), bench.step(code="src"))["s"].decision == "reused"
    moved = shutil.move(bench.folder, tmp_path / "moved")
    after = Bench(moved)
    assert after.live(after.run("r3"), after.step(code="src"))["s"].decision == "reused"


@pytest.mark.parametrize(
    ("case", "counts"),
    [
        ("14 helper edited", True),
        ("15 new file", True),
        ("16 touched", False),
        ("17 made executable", True),
        ("18 ignored file changed", False),
        ("19 link turned", True),
        ("20 line ends", True),
    ],
)
def test_case_14_to_20_what_counts_of_a_source_folder(case: str, counts: bool, bench: Bench) -> None:
    code = bench.folder / "src"
    code.mkdir()
    for name, text in (("a.py", "1\n"), ("helper.py", "2\n"), (".amlignore", "*.log\n"), ("x.log", "1")):
        (code / name).write_text(text)
    (code / "link").symlink_to("a.py")
    before = bench.identity(code="src")
    if case.startswith("14"):
        (code / "helper.py").write_text("3\n")
    elif case.startswith("15"):
        (code / "json.py").write_text("")
    elif case.startswith("16"):
        os.utime(code / "a.py", (1, 1))
    elif case.startswith("17"):
        (code / "a.py").chmod(0o755)
    elif case.startswith("18"):
        (code / "x.log").write_text("2")
        (code / "__pycache__").mkdir()
        (code / "__pycache__" / "a.pyc").write_bytes(b"1")
    elif case.startswith("19"):
        (code / "link").unlink()
        (code / "link").symlink_to("helper.py")
    else:
        (code / "a.py").write_bytes(b"1\r\n")
    assert (bench.identity(code="src") != before) is counts


def test_case_21_equal_names_in_two_sources_are_two_steps(bench: Bench) -> None:
    for folder in ("one", "two"):
        (bench.folder / folder).mkdir()
        (bench.folder / folder / "main.py").write_text(f"def f(): return {folder!r}\n")
    assert bench.identity(code="one") != bench.identity(code="two")


def test_case_22_what_a_function_would_close_over_is_a_declared_input(bench: Bench) -> None:
    assert bench.identity(inputs={"x": 1}) != bench.identity(inputs={"x": 2})


def test_case_25_a_declared_variable_counts_and_another_one_does_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bench.identity(environment_variables={"MODE": "train"})
    monkeypatch.setenv("UNRELATED", "1")
    assert bench.identity(environment_variables={"MODE": "train"}) == before
    assert bench.identity(environment_variables={"MODE": "eval"}) != before


def test_case_26_how_a_datastore_is_reached_does_not_count(bench: Bench) -> None:
    (bench.raw / "a").write_text("1")
    shutil.copytree(bench.folder / "landing", bench.folder / "elsewhere")
    stores = {
        "workspaceblobstore": {"type": "local", "path": "store"},
        "landing": {"type": "local", "path": "elsewhere"},
    }
    other = bench.open(datastores=stores)
    assert bench.identity(other, inputs={"raw": RAW}) == bench.identity(inputs={"raw": RAW})


def test_case_29_a_file_put_in_place_with_an_old_time_is_seen(bench: Bench) -> None:
    file = bench.raw / "a"
    file.write_bytes(b"1" * 500_000)
    os.utime(file, (10**9, 10**9))
    before = bench.identity(inputs={"raw": RAW})
    other = bench.folder / "other"
    other.write_bytes(b"2" * 500_000)
    os.utime(other, (10**9, 10**9))
    other.rename(file)
    assert bench.identity(bench.open(), inputs={"raw": RAW}) != before


def test_case_35_the_same_data_elsewhere_hits(bench: Bench) -> None:
    (bench.raw / "a").write_text("1")
    shutil.copytree(bench.raw, bench.folder / "landing" / "copy")
    elsewhere = {"path": "azureml://datastores/landing/paths/copy"}
    assert bench.identity(inputs={"raw": RAW}) == bench.identity(inputs={"raw": elsewhere})


def test_case_39_an_asset_that_was_edited_in_place_is_refused(bench: Bench) -> None:
    made = bench.live(bench.run("r1"), bench.step(outputs={"o": {"name": "daily"}}))["s"]
    place = bench.workspace.datastore().local_path(made.outputs["o"].path)
    assert place is not None
    (place / "x").write_text("edited")
    use = bench.step(command="cat ${{inputs.d}}/x > ${{outputs.o}}/x", inputs={"d": {"path": "azureml:daily@latest"}})
    with pytest.raises(DataError, match="daily:1 is not what was recorded; it was changed or damaged"):
        begin(bench.workspace, use, bench.run("r2"), 0)


@pytest.mark.parametrize("shift", [-3600.0, 3600.0])
def test_case_45_a_wrong_clock_takes_no_flight_over(
    shift: float, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = bench.step(command="sleep 1; echo x > ${{outputs.o}}/x")
    begin(bench.workspace, step, bench.run("holder"), 0)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    waiting = begin(bench.open(), step, bench.run("waiter"), 0)
    assert isinstance(waiting, Waiting)
    import asyncio

    looks = iter([False, False, True])
    assert asyncio.run(await_turn(bench.open(), waiting, 0.05, lambda: next(looks))) is None


def test_case_47_an_empty_folder_is_no_output(bench: Bench) -> None:
    outcome = run_pipeline(
        bench.workspace,
        [bench.step(command="mkdir ${{outputs.o}}/empty")],
        bench.run("r1"),
        lambda event: None,
    )
    assert "wrote nothing to its output 'o'" in outcome.errors["s"]
    assert list(bench.workspace.datastore().keys("mlpipe/reuse/")) == []


def test_case_52_a_step_with_two_results_under_one_key_is_told_so(bench: Bench) -> None:
    step = bench.step(command="echo $MLPIPE_JOB_KEY > ${{outputs.o}}/x")
    bench.live(bench.run("r1"), step)
    said: list[str] = []
    bench.live(bench.run("r2", reuse="force"), step, said=said)
    [warning] = [text for text in said if "not deterministic" in text]
    assert warning.startswith("output o has other bytes than the equal step of run r1 wrote")
    said.clear()
    bench.live(bench.run("r3", reuse="force"), bench.step(), said=said)
    bench.live(bench.run("r4", reuse="force"), bench.step(), said=said)
    assert not [text for text in said if "not deterministic" in text]


def test_case_57_a_changed_upstream_output_runs_what_comes_after(bench: Bench) -> None:
    def steps(text: str) -> list[Step]:
        make = bench.step(name="make", command=f"echo {text} > ${{{{outputs.o}}}}/x")
        data = {"i": {"path": "${{parent.jobs.make.outputs.o}}"}}
        command = "cat ${{inputs.i}}/x > ${{outputs.o}}/x"
        return [make, bench.step(name="use", command=command, inputs=data, upstream=["make"])]

    bench.live(bench.run("r1"), *steps("one"))
    changed = bench.live(bench.run("r2"), *steps("two"))
    assert {name: record.decision for name, record in changed.items()} == {"make": "ran", "use": "ran"}
    assert changed["use"].reason.startswith("input i: 1 of 1 file changed: x")


TRANSFERS = ("a", "b", "c")
EDITS = st.tuples(
    st.sampled_from(["data", "version", "touch", "clean", "damage"]), st.sampled_from(TRANSFERS), st.integers(0, 2)
)


@given(st.lists(EDITS, min_size=20, max_size=20))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_case_62_the_plan_agrees_with_the_run_for_two_hundred_random_edits(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, str, int]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("plan") / "work")
    versions = dict.fromkeys(TRANSFERS, "")
    for name in TRANSFERS:
        (bench.raw / name).mkdir()
        (bench.raw / name / name).write_text("0")
    done: dict[str, StepRecord] = {}
    for number, (edit, name, value) in enumerate(edits):
        _edit(bench, edit, name, value, versions, done)
        steps = _transfers(versions)
        planned = {item.step.name: item.decision for item in plan(bench.workspace, steps, bench.run("look"))}
        done = bench.live(bench.run(f"r{number}"), *steps)
        for step, record in done.items():
            if planned[step] != "later":
                assert {"reuse": "reused", "run": "ran"}[planned[step]] == record.decision, (number, edit, step)


def _transfers(versions: dict[str, str]) -> list[Step]:
    """Three copies: of folder ``a``; of ``b`` and the first copy; of ``c`` and the second."""
    steps: list[Step] = []
    for name in TRANSFERS:
        inputs: dict[str, Any] = {"data": {"path": f"{RAW['path']}/{name}"}}
        if steps:
            inputs["before"] = {"path": f"${{{{parent.jobs.{steps[-1].name}.outputs.o}}}}"}
        fields = {"name": name, "type": "data_transfer", "inputs": inputs, "outputs": {"o": {}}}
        fields["upstream"] = [step.name for step in steps[-1:]]
        steps.append(checked(Step, {**fields, "reuse_version": versions[name]}))
    return steps


def _edit(
    bench: Bench, edit: str, name: str, value: int, versions: dict[str, str], done: dict[str, StepRecord]
) -> None:
    if edit == "data":
        (bench.raw / name / name).write_text(str(value))
    elif edit == "touch":
        os.utime(bench.raw / name / name, (value, value))
    elif edit == "version":
        versions[name] = str(value)
    elif edit == "damage" and name in done:
        bench.workspace.datastore().remove(done[name].outputs["o"].path)


def test_case_63_a_step_that_writes_into_its_input_poisons_nothing(bench: Bench) -> None:
    make = bench.step(name="make")
    command = "cp ${{inputs.i}}/x ${{outputs.o}}/x; echo more >> ${{inputs.i}}/x"
    data = {"i": {"path": "${{parent.jobs.make.outputs.o}}"}}
    said: list[str] = []
    bench.live(
        bench.run("r1"), make, bench.step(name="use", command=command, inputs=data, upstream=["make"]), said=said
    )
    assert "not kept for reuse: input i changed while the step ran" in said
    [again] = bench.live(bench.run("r2"), make).values()
    assert again.decision == "ran"
    assert again.reason == "output o was damaged: 1 of 1 files (x differs)"


def test_every_case_has_a_test() -> None:
    table = (ROOT / "docs" / "decisions" / "115-reuse-cases.md").read_text(encoding="utf-8")
    names = {
        node.name
        for folder in (ROOT / "tests", ROOT / "airflow_mlpipe" / "testing")
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    rows = dict(re.findall(r"^\| (\d+) \|.*\| (.+?) \|$", table, re.MULTILINE))
    assert [int(number) for number in rows] == list(CASES)
    for number, cell in rows.items():
        tests = re.findall(r"`(test_\w+)`", cell)
        assert tests or cell.startswith("open:"), number
        assert set(tests) <= names, number
