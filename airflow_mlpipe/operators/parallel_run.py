"""Working through many files in mini-batches as a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mlpipe.operators.base import BaseStepOperator


class ParallelRunOperator(BaseStepOperator):
    """Works through the files of an input in mini-batches and several processes, or reuses what was written before.

    Azure ML's ``parallel`` job with ``task: {type: run_function}`` (v1: ``ParallelRunStep``). The entry script has
    ``run(mini_batch)`` and, if it likes, ``init()`` and ``shutdown()``.

    .. code-block:: python

        score = ParallelRunOperator(
            task_id="score",
            parallel={"entry_script": "score.py", "input": "files", "mini_batch_size": 4, "append_row_to": "rows"},
            code="./src",
            inputs={"files": {"path": "azureml://datastores/landing/paths/flights"}},
            outputs={"rows": {"type": "uri_folder"}},
        )

    :param parallel: the keys of :class:`~airflow_mlpipe.spec.step.ParallelTask`.

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    step_type = "parallel"
    ui_color = "#fef7e0"

    def __init__(self, *, parallel: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(work={"parallel": parallel}, **kwargs)
