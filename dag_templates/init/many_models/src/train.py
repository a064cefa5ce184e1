"""Fit the trend of one shop and judge it on its last months."""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path
from statistics import fmean, linear_regression


def log_metric(name: str, value: float) -> None:
    """Record a number with the run; MLflow's log_metric works as well."""
    with Path(os.environ["MLPIPE_METRICS_FILE"]).open("a") as file:
        file.write(json.dumps({"name": name, "value": value}) + "\n")


def main() -> None:
    """Write the model as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shop", required=True)
    parser.add_argument("--sales", type=Path, required=True)
    parser.add_argument("--held-out", type=int, required=True)
    parser.add_argument("--model", type=Path, required=True)
    arguments = parser.parse_args()

    with arguments.sales.open(newline="") as file:
        sales = [float(row["sales"]) for row in csv.DictReader(file)]
    known = len(sales) - arguments.held_out
    slope, intercept = linear_regression(range(known), sales[:known])
    error = fmean(abs(slope * month + intercept - sales[month]) for month in range(known, len(sales)))
    log_metric("mean_absolute_error", error)
    print(f"{arguments.shop}: {slope:+.2f} a month, mean absolute error {error:.1f}")
    model = {"shop": arguments.shop, "slope": round(slope, 9), "intercept": round(intercept, 9)}
    arguments.model.mkdir(parents=True, exist_ok=True)
    (arguments.model / "model.json").write_text(json.dumps(model, indent=2) + "\n")


if __name__ == "__main__":
    main()
