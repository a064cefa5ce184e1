"""A shell command as a step."""

from __future__ import annotations

from typing import Any

from airflow_mlpipe.operators.base import BaseStepOperator


class CommandOperator(BaseStepOperator):
    """Runs a shell command on a compute target, or reuses what it wrote before. Azure ML's ``command`` job.

    .. code-block:: python

        prepare = CommandOperator(
            task_id="prepare",
            command="python prepare.py --raw ${{inputs.raw}} --out ${{outputs.features}}",
            code="./src",
            inputs={"raw": {"path": "azureml://datastores/landing/paths/flights"}},
            outputs={"features": {}},
        )

    Values never become part of the shell text: a placeholder is replaced by a quoted variable.

    :param command: shell text with ``${{inputs.x}}``, ``${{outputs.x}}`` and optional ``$[[...]]`` parts.

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    step_type = "command"

    def __init__(self, *, command: str, **kwargs: Any) -> None:
        super().__init__(work={"command": command}, **kwargs)
