"""Training a model as a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_mlpipe.operators.python_script import PythonScriptOperator


class TrainOperator(PythonScriptOperator):
    """Runs a training script and registers the model that it writes. Azure ML v1's ``EstimatorStep``.

    .. code-block:: python

        train = TrainOperator(
            task_id="train",
            script_name="train.py",
            arguments=["--features", "${{inputs.features}}", "--model", "${{outputs.model}}"],
            model_name="flight-delays",
            code="./src",
            inputs={"features": prepare.outputs["features"]},
        )

    The script logs metrics with ``mlflow.log_metric`` or as JSON lines in the file that ``$MLPIPE_METRICS_FILE``
    names; they are kept with the run and with the model's version.

    :param script_name: the script, relative to ``code``.
    :param arguments: the script's arguments, one list entry for each word that it shall see.
    :param model_name: registers the model under this name, a new version whenever its content is new; ``None``: not
        registered, for pipelines that register only after an evaluation.
    :param model_type: ``custom_model``, ``mlflow_model`` or ``triton_model``.
    :param model_output: name of the output that the model is written to; further ``outputs`` may be given.

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        script_name: str,
        arguments: Sequence[Any] = (),
        model_name: str | None = None,
        model_type: str = "custom_model",
        model_output: str = "model",
        outputs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        model = {"type": model_type, "name": model_name}
        super().__init__(
            script_name=script_name, arguments=arguments, outputs={model_output: model, **(outputs or {})}, **kwargs
        )
