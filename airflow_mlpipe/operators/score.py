"""Batch scoring as a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mlpipe.operators.parallel_run import ParallelRunOperator


class ScoreOperator(ParallelRunOperator):
    """Scores many files with a model, in mini-batches and several processes, or reuses what was written before.

    .. code-block:: python

        score = ScoreOperator(
            task_id="score",
            entry_script="score.py",
            model="azureml:flight-delays@latest",
            data={"path": "azureml://datastores/landing/paths/flights"},
            code="./src",
            mini_batches={"mini_batch_size": 4, "error_threshold": 0},
        )

    The model is the input ``model`` and reaches the script as ``program_arguments``, ``--model ${{inputs.model}}`` if
    not given otherwise; the rows that ``run`` returns are collected, in the order of the files, in the output
    ``predictions``.

    :param entry_script: the script, relative to ``code``.
    :param model: output of a training step, or the address of a registered model.
    :param data: what to score: an output of another step, or the keys of :class:`~airflow_mlpipe.spec.step.InputData`.
    :param mini_batches: further keys of :class:`~airflow_mlpipe.spec.step.ParallelTask`.
    :param inputs: further inputs.
    :param outputs: further outputs, or another declaration of ``predictions``.

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    ui_color = "#fce8e6"

    def __init__(
        self,
        *,
        entry_script: str,
        model: Any,
        data: Any,
        mini_batches: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(model, str) and model.startswith("azureml:"):
            model = {"type": "custom_model", "path": model}
        parallel = {
            "entry_script": entry_script,
            "input": "data",
            "program_arguments": "--model ${{inputs.model}}",
            "append_row_to": "predictions",
            **(mini_batches or {}),
        }
        super().__init__(
            parallel=parallel,
            inputs={"model": model, "data": data, **(inputs or {})},
            outputs={"predictions": {}, **(outputs or {})},
            **kwargs,
        )
