"""Score flights in mini-batches: ``init`` once in each process, ``run`` for each mini-batch, as Azure ML calls them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flights import FLIGHT, features, load_model, read

_loaded: dict[str, Any] = {}


def init() -> None:
    """Load the model; the arguments are those of ``program_arguments``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    arguments, _ = parser.parse_known_args()
    _loaded["model"] = load_model(arguments.model)


def run(mini_batch: list[str]) -> list[str]:
    """Return a row for each flight in the files of this mini-batch: what flight, and how likely it is late."""
    rows = []
    for path in mini_batch:
        table = read(Path(path))
        chances = _loaded["model"].predict_proba(features(table))[:, 1]
        flights = table[FLIGHT].astype(str).agg(",".join, axis=1)
        rows += [f"{flight},{chance:.6f}" for flight, chance in zip(flights, chances, strict=True)]
    return rows
