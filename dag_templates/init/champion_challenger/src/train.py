"""Fit a straight line: the challenger."""

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
    slope, intercept = linear_regression([temperature for temperature, _ in rows], [demand for _, demand in rows])
    model = {"slope": round(slope, 9), "intercept": round(intercept, 9)}
    arguments.model.mkdir(parents=True, exist_ok=True)
    (arguments.model / "model.json").write_text(json.dumps(model, indent=2) + "\n")
    print(f"demand = {slope:.2f} * temperature + {intercept:.1f}")


if __name__ == "__main__":
    main()
