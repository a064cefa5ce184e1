# Written by airflow-mlpipe 0.1.0 (template general): change the spec, not this file.
# spec hash: sha256:c3874051ef56c8d7505da9f686cb5d101e4920f42ba0ca4adb5da4348f1421eb
# spec: ../pipelines/on_data_change.yml
"""on_data_change: Runs once for each batch of new flights.

The spec of this pipeline is ../pipelines/on_data_change.yml.
To write this file anew, run in its folder:

    mlpipe generate ../pipelines/on_data_change.yml -o .
"""

import pendulum
from airflow.sdk import DAG, Param
from airflow_mlpipe.operators import (
    CommandOperator,
    PlanOperator,
)
from airflow_mlpipe.sensors import changed_data

with DAG(
    dag_id="on_data_change",
    description="Runs once for each batch of new flights.",
    schedule=[
        changed_data(
            "on_data_change",
            path="azureml://datastores/landing/paths/flights",
            poll_interval=600.0,
        ),
    ],
    start_date=pendulum.datetime(2000, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    params={
        "raw": Param(
            None,
            type=["string", "null"],
            pattern="^azureml:",
            mlpipe_data=True,
            description="Empty: as in the pipeline. Else azureml://datastores/<name>/paths/<path> or azureml:<name>:<version>.",
        ),
        "reuse": Param(
            "auto",
            type="string",
            enum=["auto", "force", "disable"],
            description="auto: reuse what is identical; force: run every step, refresh the records; disable: run every step, leave the records alone.",
        ),
        "reuse_steps": Param(
            {},
            type="object",
            description='The same for single steps: {"train": "force"}.',
        ),
    },
):
    plan = PlanOperator(
        task_id="plan",
    )

    # on_data_change.yml:7
    prepare = CommandOperator(
        task_id="prepare",
        command="ls ${{inputs.raw}} > ${{outputs.features}}/names.txt",
        inputs={
            "raw": {
                "path": "azureml://datastores/landing/paths/flights",
                "parameter": "raw",
            },
        },
        outputs={"features": {"type": "uri_folder"}},
        trigger_rule="none_failed",
    )

    plan >> prepare
