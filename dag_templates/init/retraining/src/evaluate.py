"""Judge the model on the rows that were held out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean

import table


def main() -> None:
    """Write the mean absolute error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--evaluation", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    arguments = parser.parse_args()

    model = json.loads((arguments.model / "model.json").read_text())
    rows = table.read(arguments.evaluation)
    error = fmean(abs(model["slope"] * area + model["intercept"] - price) for area, price in rows)
    table.log_metric("mean_absolute_error", error)
    print(f"mean absolute error {error:.0f} on {len(rows)} rows")
    arguments.report.write_text(json.dumps({"mean_absolute_error": error}) + "\n")


if __name__ == "__main__":
    main()
