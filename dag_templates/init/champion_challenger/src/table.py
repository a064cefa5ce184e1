"""Tables of numbers, and models, as the steps hand them to each other."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from statistics import fmean

Row = tuple[float, float]


def read(path: Path) -> list[Row]:
    """Return the (temperature, demand) rows of a file, or of all CSV files of a folder in the order of their names."""
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    rows = []
    for name in files:
        with name.open(newline="") as file:
            rows += [(float(row["temperature"]), float(row["demand"])) for row in csv.DictReader(file)]
    return rows


def write(path: Path, rows: list[Row]) -> None:
    """Write rows with a heading."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["temperature", "demand"])
        writer.writerows(rows)


def error(model: Path, rows: list[Row]) -> float:
    """Return the mean absolute error of the model in a folder."""
    line = json.loads((model / "model.json").read_text())
    return fmean(abs(line["slope"] * temperature + line["intercept"] - demand) for temperature, demand in rows)


def log_metric(name: str, value: float) -> None:
    """Record a number with the run; MLflow's log_metric works as well."""
    with Path(os.environ["MLPIPE_METRICS_FILE"]).open("a") as file:
        file.write(json.dumps({"name": name, "value": value}) + "\n")
