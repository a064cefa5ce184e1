"""Fit a straight line."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import linear_regression

import table


def main() -> None:
    """Write the model as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--training", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    arguments = parser.parse_args()

    rows = table.read(arguments.training)
    slope, intercept = linear_regression([area for area, _ in rows], [price for _, price in rows])
    arguments.model.mkdir(parents=True, exist_ok=True)
    (arguments.model / "model.json").write_text(json.dumps({"slope": slope, "intercept": intercept}, indent=2) + "\n")
    table.log_metric("training_rows", len(rows))
    print(f"price = {slope:.0f} * area + {intercept:.0f}")


if __name__ == "__main__":
    main()
