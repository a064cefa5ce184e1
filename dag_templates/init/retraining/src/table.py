"""Tables of numbers, as the steps hand them to each other."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

Row = tuple[float, float]


def read(path: Path) -> list[Row]:
    """Return the (area, price) rows of a file, or of all CSV files of a folder."""
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    rows = []
    for name in files:
        with name.open(newline="") as file:
            rows += [(float(row["area"]), float(row["price"])) for row in csv.DictReader(file)]
    return rows


def write(path: Path, rows: list[Row]) -> None:
    """Write rows with a heading."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["area", "price"])
        writer.writerows(rows)


def log_metric(name: str, value: float) -> None:
    """Record a number with the run; MLflow's log_metric works as well."""
    with Path(os.environ["MLPIPE_METRICS_FILE"]).open("a") as file:
        file.write(json.dumps({"name": name, "value": value}) + "\n")
