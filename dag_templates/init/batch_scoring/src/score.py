"""Score flats in mini-batches: ``init`` once in each process, ``run`` for each mini-batch, as Azure ML calls them."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

_model: dict[str, float] = {}


def init() -> None:
    """Load the model; the arguments are those of ``program_arguments``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    arguments, _ = parser.parse_known_args()
    _model.update(json.loads((arguments.model / "model.json").read_text()))


def run(mini_batch: list[str]) -> list[str]:
    """Return a row for each flat in the files of this mini-batch: flat, area, price."""
    rows = []
    for path in mini_batch:
        with Path(path).open(newline="") as file:
            for row in csv.DictReader(file):
                price = _model["slope"] * float(row["area"]) + _model["intercept"]
                rows.append(f"{row['flat']},{row['area']},{price:.0f}")
    return rows
