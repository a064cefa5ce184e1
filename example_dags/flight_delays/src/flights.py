"""What train, evaluate and score must agree on: the columns, how a model is kept, how a metric is logged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

NUMBERS = [
    "minute_of_day",
    "weekday",
    "distance",
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
]
CATEGORIES = ["carrier", "origin", "dest"]
FLIGHT = ["time_hour", "carrier", "flight", "origin", "dest"]
LABEL = "late"
MODEL_FILE = "model.joblib"


def read(path: Path) -> pd.DataFrame:
    """Read a table that ``prepare`` wrote."""
    return pd.read_csv(path, dtype=dict.fromkeys(CATEGORIES, "str"))


def features(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that a model sees."""
    return table[NUMBERS + CATEGORIES].astype(dict.fromkeys(CATEGORIES, "category"))


def save_model(model: Any, folder: Path) -> None:
    """Keep a model in a folder; the same model gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, folder / MODEL_FILE, compress=0)


def load_model(folder: Path) -> Any:
    """Load a model that one of these scripts wrote."""
    return joblib.load(folder / MODEL_FILE)


def log_metric(name: str, value: float, step: int | None = None) -> None:
    """Log a number for the run record; by hand (outside a pipeline) it is only printed."""
    print(f"{name} = {value:.4f}", flush=True)
    target = os.environ.get("MLPIPE_METRICS_FILE")
    if target:
        with Path(target).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "value": float(value), "step": step}) + "\n")
