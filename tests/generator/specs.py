"""Pipelines for tests, built without YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.step import OutputData, Step


def pipeline(folder: Path, *steps: Step, **changes: Any) -> PipelineSpec:
    """A pipeline ``flights`` in ``folder/pipeline.yml``; one step if none is given."""
    chosen = steps or (Step(name="train", command="python train.py", outputs={"model": OutputData()}),)
    lines = {step.name: number for number, step in enumerate(chosen, start=2)}
    fields = {"source": folder / "pipeline.yml", "name": "flights", "steps": chosen, "lines": lines}
    return PipelineSpec(**{**fields, **changes})
