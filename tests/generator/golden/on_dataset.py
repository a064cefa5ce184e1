# Written by airflow-mlpipe 0.1.0 (template general): change the spec, not this file.
# spec hash: sha256:d67194a0a325f12e2a6ccb2596803126c77708b0268251dabd9338c787942476
# spec: ../pipelines/on_dataset.yml
"""on_dataset: Runs when there are new flights and a new model.

The spec of this pipeline is ../pipelines/on_dataset.yml.
To write this file anew, run in its folder:

    mlpipe generate ../pipelines/on_dataset.yml -o .
"""

import pendulum
from airflow.sdk import DAG, Asset, Param
from airflow_mlpipe.operators import (
    CommandOperator,
    PlanOperator,
)

with DAG(
    dag_id="on_dataset",
    description="Runs when there are new flights and a new model.",
    schedule=[
        Asset(name="dataset/flights", uri="mlpipe://dataset/flights"),
        Asset(name="model/delays", uri="mlpipe://model/delays"),
    ],
    start_date=pendulum.datetime(2000, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    params={
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

    # on_dataset.yml:5
    score = CommandOperator(
        task_id="score",
        command="echo ${{inputs.flights}} ${{inputs.model}} > ${{outputs.scores}}/scores.txt",
        inputs={
            "flights": {"path": "azureml:flights@latest"},
            "model": {"type": "mlflow_model", "path": "azureml:delays@latest"},
        },
        outputs={"scores": {"type": "uri_folder", "name": "scores"}},
        trigger_rule="none_failed",
        outlets=[Asset(name="dataset/scores", uri="mlpipe://dataset/scores")],
    )

    plan >> score
