"""The scripts of the flight delay example, on a small landing folder."""

import csv
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "flight_delays"
SOURCES = EXAMPLE / "src"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script(name: str, *arguments: object, metrics: Path | None = None) -> str:
    """Run a step's script as the pipeline does, with the shared module beside it."""
    variables = {**os.environ, "PYTHONPATH": str(SOURCES)} | ({"MLPIPE_METRICS_FILE": str(metrics)} if metrics else {})
    command = [sys.executable, str(SOURCES / name / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("landing")
    load(EXAMPLE / "landing.py").lay_out(folder)
    return folder


@pytest.fixture(scope="module")
def prepared(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``prepare`` makes of the first 2,000 flights of July and August."""
    folder = tmp_path_factory.mktemp("prepared")
    for month in ("2013-07", "2013-08"):
        for table in ("flights", "weather"):
            rows = (landing / table / f"{table}-{month}.csv").read_text().splitlines(keepends=True)
            target = folder / "data" / f"{table}-{month}.csv"
            target.parent.mkdir(exist_ok=True)
            target.write_text("".join(rows[:2001]))
    outputs = [
        "--training",
        folder / "training.csv",
        "--evaluation",
        folder / "evaluation.csv",
        "--unscored",
        folder / "parts",
    ]
    script("prepare", "--data", folder / "data", "--delay-minutes", 15, "--parts", 3, *outputs)
    return folder


@pytest.fixture(scope="module")
def model(prepared: Path) -> Path:
    """A model trained on the prepared flights."""
    folder = prepared / "model"
    script("train", "--training", prepared / "training.csv", "--learning-rate", 0.1, "--model", folder)
    return folder


def test_landing_has_every_flight_of_the_year_once(landing: Path) -> None:
    files = sorted((landing / "flights").iterdir())
    assert [path.name for path in files] == [f"flights-2013-{month:02d}.csv" for month in range(1, 13)]
    assert sum(len(path.read_bytes().splitlines()) - 1 for path in files) == 336_776
    assert len(list((landing / "weather").iterdir())) == 12


def test_landing_is_the_same_bytes_on_every_machine(landing: Path) -> None:
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted(landing.glob("*/*-2013-01.csv"))
    }
    assert digests == {"flights-2013-01.csv": "a07b68f99deaefb9", "weather-2013-01.csv": "102a59c658f360fd"}


def test_landing_leaves_equal_files_alone(landing: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in landing.rglob("*.csv")}
    load(EXAMPLE / "landing.py").lay_out(landing)
    assert {path: path.stat().st_mtime_ns for path in landing.rglob("*.csv")} == before


def test_prepare_holds_out_the_newest_month(prepared: Path) -> None:
    with (prepared / "evaluation.csv").open() as file:
        months = {row["time_hour"][:7] for row in csv.DictReader(file)}
    assert months == {"2013-08"}
    with (prepared / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["time_hour"][:7] for row in rows} == {"2013-07"}
    assert {row["late"] for row in rows} == {"0", "1"}


def test_parts_to_score_hold_every_flight_in_order_without_its_label(prepared: Path) -> None:
    rows = []
    for path in sorted((prepared / "parts").iterdir()):
        with path.open() as file:
            rows += list(csv.DictReader(file))
    with (prepared / "data" / "flights-2013-08.csv").open() as file:
        expected = [(row["time_hour"], row["flight"]) for row in csv.DictReader(file)]
    assert [(row["time_hour"], row["flight"]) for row in rows] == expected
    assert {"late", "arr_delay"}.isdisjoint(rows[0])


def test_same_training_gives_the_same_bytes(
    prepared: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    arguments = ["--training", prepared / "training.csv", "--learning-rate", 0.1, "--model", tmp_path / "again"]
    script("train", *arguments, metrics=tmp_path / "metrics.jsonl")
    assert (tmp_path / "again" / "model.joblib").read_bytes() == (model / "model.joblib").read_bytes()
    metrics = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [metric["name"] for metric in metrics] == ["training_auc", "training_rows"]


@pytest.mark.parametrize("has_champion", [False, True])
def test_only_a_better_model_is_handed_on(prepared: Path, model: Path, tmp_path: Path, has_champion: bool) -> None:
    verdict, registered = tmp_path / "verdict.json", tmp_path / "registered"
    champion = ["--champion", model] if has_champion else []
    script("evaluate", "--model", model, "--evaluation", prepared / "evaluation.csv", "--verdict", verdict, *champion)
    script("register", "--model", model, "--verdict", verdict, "--registered", registered)
    assert json.loads(verdict.read_text())["better"] is not has_champion, "a model is not better than itself"
    assert registered.exists() is not has_champion


def test_score_gives_a_chance_for_each_flight(prepared: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SOURCES))
    monkeypatch.setattr(sys, "argv", ["score.py", "--model", str(model)])
    score = load(SOURCES / "score" / "score.py")
    score.init()
    parts = sorted(str(path) for path in (prepared / "parts").iterdir())
    rows = score.run(parts)
    assert len(rows) == 2000
    assert all(0 <= float(row.rsplit(",", 1)[1]) <= 1 for row in rows)
