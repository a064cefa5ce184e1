"""Jobs of Azure ML that can be written but not run yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mlpipe.operators.base import BaseStepOperator


class _LaterOperator(BaseStepOperator):
    """Has its place in the graph, and nothing that runs it.

    Whoever begins a run with such a step is told so before anything is done: by the plan task, by ``mlpipe run``, or
    by the step itself where there is no plan task.

    :param definition: the keys of the job, as Azure ML has them.

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    ui_color = "#f1f3f4"

    def __init__(self, *, definition: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(work={"definition": dict(definition)}, **kwargs)


class SweepOperator(_LaterOperator):
    """A search for the best inputs of a job. Azure ML's ``sweep``. Cannot be run yet.

    :param definition: ``trial``, ``search_space``, ``sampling_algorithm``, ``objective``, ``limits``, ...

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    step_type = "sweep"


class AutoMLOperator(_LaterOperator):
    """A search for the best model. Azure ML's ``automl``. Cannot be run yet.

    :param definition: ``task``, ``primary_metric``, ``training_data``, ``limits``, ...

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    step_type = "automl"


class SparkOperator(_LaterOperator):
    """A job of Spark. Azure ML's ``spark``. Cannot be run yet.

    :param definition: ``code``, ``entry``, ``args``, ``conf``, ...

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    step_type = "spark"


class ImportOperator(_LaterOperator):
    """Data out of a database. Azure ML's ``import``. Cannot be run yet.

    :param definition: ``source`` and ``output``.

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    step_type = "import"
