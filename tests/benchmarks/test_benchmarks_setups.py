"""Each benchmark's set-up in miniature: it measures what it says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from airflow_mlpipe.spec import load_pipeline
from benchmarks import dvc, noop_laptop, noop_scheduler, parse, run_all
from benchmarks.measure import BenchmarkError, Sample
from benchmarks.noop_scheduler import ONE_TASK, PLANNED, UNPLANNED, Seen
from benchmarks.pipelines import (
    chain_for_dvc,
    chain_pipeline,
    layered_pipeline,
    layers,
    step_name,
    write_big_data,
    write_project,
    write_source,
)
from benchmarks.settings import Settings
from benchmarks.without_plan import without_plan

STEPS = 3


def test_both_tools_get_the_same_chain(tmp_path: Path) -> None:
    spec = load_pipeline(write_project(tmp_path, chain_pipeline("chain", STEPS)))
    stages = yaml.safe_load(chain_for_dvc(STEPS))["stages"]
    assert [step.name for step in spec.steps] == list(stages) == [step_name(number) for number in range(STEPS)]
    assert [["src", *step.upstream] for step in spec.steps] == [stage["deps"] for stage in stages.values()]
    assert {step.code for step in spec.steps} == {"./src"}
    assert [list(stage["outs"]) for stage in stages.values()] == [[name] for name in stages]


def test_stages_of_dvc_do_the_same_work(tmp_path: Path) -> None:
    write_source(tmp_path)
    stages = yaml.safe_load(chain_for_dvc(STEPS))["stages"]
    for stage in stages.values():
        subprocess.run(["sh", "-ec", stage["cmd"]], cwd=tmp_path, check=True)
    assert [(tmp_path / name / "lines").read_text() for name in stages] == ["0\n", "0\n1\n", "0\n1\n2\n"]


def test_only_the_first_step_reads_the_data(tmp_path: Path) -> None:
    data = {"one": "./data/one", "many": "./data/many"}
    spec = load_pipeline(write_project(tmp_path, chain_pipeline("chain", STEPS, data)))
    stages = yaml.safe_load(chain_for_dvc(STEPS, data))["stages"]
    assert [sorted(step.inputs) for step in spec.steps] == [["many", "one"], ["before"], ["before"]]
    assert stages[step_name(0)]["deps"] == ["src", "./data/one", "./data/many"]


def test_big_data_is_the_same_each_time_and_as_big_as_asked(tmp_path: Path) -> None:
    size, files = (1 << 20) + 5, 203
    for name in ("a", "b"):
        write_big_data(tmp_path / name, size, files)
    first, second = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("a", "b")
    )
    assert first == second
    assert len(first.pop(Path("one/data.bin"))) == size
    assert len(first) == len(set(first.values())) == files


def test_no_op_on_the_laptop_is_checked(tmp_path: Path) -> None:
    pipeline = noop_laptop.start_project(tmp_path, STEPS)
    assert noop_laptop.no_op(pipeline, STEPS).cpu > 0
    lines = [path.read_text() for path in (tmp_path / "store").rglob("lines")]
    assert sorted(lines) == ["0\n", "0\n1\n", "0\n1\n2\n"]
    pipeline.write_text(pipeline.read_text().replace("step.sh 2", "step.sh 3"))
    with pytest.raises(BenchmarkError, match="did not say '0 ran, 3 reused'"):
        noop_laptop.no_op(pipeline, STEPS)


def test_peer_is_pinned_by_name_and_version_alone() -> None:
    lines = [line.split(";")[0].strip() for line in dvc.CONSTRAINTS.read_text().splitlines()]
    assert all(len(line.split("==")) == 2 for line in lines)
    assert not any("/" in line or "@" in line for line in lines)
    assert f"dvc=={dvc.version()}" in lines


def test_peer_lives_outside_the_checkout_and_keeps_to_its_project(tmp_path: Path) -> None:
    assert dvc.environment_folder(tmp_path).is_relative_to(tmp_path)
    variables = dvc.environment(tmp_path)
    places = {name: value for name, value in variables.items() if name.startswith("DVC_") and name.endswith("_DIR")}
    assert len(places) == 3
    assert all(Path(value).is_relative_to(tmp_path) for value in places.values())


def test_layers_have_two_dependencies_each() -> None:
    graph = layers(25)
    assert [graph[0], graph[9], graph[10], graph[19], graph[24]] == [(), (), (0, 1), (9, 0), (14, 15)]


@pytest.mark.airflow
def test_hand_written_dag_is_the_generated_one(tmp_path: Path) -> None:
    generated, written = parse.write_pair(tmp_path, 12)
    found = parse.probe([generated, written], 1, tmp_path)
    ours, theirs = found[str(generated)], found[str(written)]
    assert len(ours["tasks"]) == 13
    assert ours["tasks"] == theirs["tasks"]
    assert ours["steps"] == theirs["steps"]
    assert ours["params"] == theirs["params"]
    assert all(min(*one["first"], *one["again"]) > 0 for one in ours["rounds"] + theirs["rounds"])


@pytest.mark.airflow
def test_file_without_dag_is_no_figure(tmp_path: Path) -> None:
    path = tmp_path / "empty.py"
    path.write_text("import airflow\n")
    with pytest.raises(BenchmarkError, match="does not hold one DAG"):
        parse.probe([path], 1, tmp_path)


@pytest.mark.airflow
def test_dags_for_the_scheduler_differ_by_the_plan_alone(tmp_path: Path) -> None:
    noop_scheduler.write_dags(tmp_path, STEPS)
    paths = {name: tmp_path / "dags" / f"{name}.py" for name in (PLANNED, UNPLANNED, ONE_TASK)}
    found = parse.probe(list(paths.values()), 0, tmp_path)
    tasks = {name: found[str(path)]["tasks"] for name, path in paths.items()}
    steps = {name: found[str(path)]["steps"] for name, path in paths.items()}
    assert tasks[PLANNED].pop("plan") == ["PlanOperator", [step_name(0)]]
    assert tasks[PLANNED] == tasks[UNPLANNED]
    assert steps[PLANNED] == steps[UNPLANNED]
    assert len(steps[PLANNED]) == STEPS
    assert list(tasks[ONE_TASK]) == ["nothing"]
    assert "idle_sleep_time" in str(noop_scheduler.AS_INSTALLED)


def test_plan_task_is_cut_out_whatever_it_is_called() -> None:
    body = ('p = PlanOperator(task_id="plan")', "s = X()", "t = X()", "p >> s >> t", "s >> t")
    text = "\n    ".join(('with DAG(dag_id="a"):', *body))
    left = ast.unparse(ast.parse(without_plan(text, "b")))
    assert left == "with DAG(dag_id='b'):\n    s = X()\n    t = X()\n    s >> t"
    with pytest.raises(ValueError, match="no PlanOperator"):
        without_plan(left, "c")


def test_scheduler_report_compares_by_airflows_clock_and_the_clients() -> None:
    def seen(duration: float) -> Seen:
        return Seen(Sample(duration, 1.0), Sample(duration + 1, 1.0))

    report = noop_scheduler.report(
        {PLANNED: [seen(1.2), seen(1.3)], UNPLANNED: [seen(60.0)], ONE_TASK: [seen(1.0), seen(1.0)]}
    )
    assert [bound.value for bound in report.bounds] == pytest.approx([1.25, 50.0])
    assert [row.ratio for row in report.rows] == pytest.approx([1.25, None, 50.0, 1.125, None, 61 / 2.2])


def test_chain_is_a_valid_pipeline_of_any_kind(tmp_path: Path) -> None:
    spec = load_pipeline(write_project(tmp_path, layered_pipeline("wide", 11)))
    assert [list(step.upstream) for step in spec.steps][-1] == [step_name(0), step_name(1)]
    assert not spec.warnings


def test_unknown_benchmark_is_named_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_all.main(["noop_labtop"])
    assert ended.value.code == 2
    assert "'noop_labtop'; known: parse, noop_laptop, noop_scheduler" in capsys.readouterr().err


def test_settings_name_the_command_of_this_interpreter(tmp_path: Path) -> None:
    from benchmarks.settings import environment, mlpipe

    assert mlpipe().parent == Path(sys.executable).parent
    assert "PYTHONDONTWRITEBYTECODE" not in environment()
    assert Settings(tmp_path, 5, print).repeats == 5
