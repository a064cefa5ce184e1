# Written by airflow-mlpipe 0.1.0 (template retraining): change the spec, not this file.
# spec hash: sha256:1ca25d1b19180f7e82c2559f999c25dc61e4bfb276e4912ffa29be58674c99d8
# spec: ../pipelines/flights/pipeline.yml
"""Flight delays: Predict late arrivals; retrain every month, keep the better model, and
tell everybody who asks how that went.

Models that each run trains anew:

- flight-delays (step train)

Steps, each with those that it waits for:

    ingest
      prepare  <- ingest
        train  <- prepare
          score  <- ingest, train

The spec of this pipeline is ../pipelines/flights/pipeline.yml.
To write this file anew, run in its folder:

    mlpipe generate ../pipelines/flights/pipeline.yml -o .
"""

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Asset, Param
from airflow_mlpipe.operators import (
    CommandOperator,
    DataTransferOperator,
    ParallelRunOperator,
    PlanOperator,
)

with DAG(
    dag_id="flights",
    dag_display_name="Flight delays",
    description="Predict late arrivals; retrain every month, keep the better model, and tell everybody who asks how that went.",
    schedule="0 6 1 * *",
    start_date=pendulum.datetime(2013, 2, 1, tz="America/New_York"),
    end_date=pendulum.datetime(2013, 12, 31, tz="America/New_York"),
    tags=["flights", "team:ml", "reviewed"],
    max_active_runs=1,
    catchup=True,
    doc_md=__doc__,
    params={
        "month": Param(
            None,
            type=["string", "null"],
            mlpipe_default="${{airflow.data_interval_start}}",
            description="Month to train on. Empty: ${{airflow.data_interval_start}} of the run.",
        ),
        "delay_minutes": Param(15, type="integer", minimum=1, maximum=240),
        "learning_rate": Param(0.1, type="number", enum=[0.1, 0.2]),
        "note": Param(
            None,
            type=["string", "null"],
            description="Empty: not given to the steps.",
        ),
        "dry": Param(False, type="boolean"),
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
        owner="ml-platform",
        retries=3,
        retry_delay=timedelta(minutes=5),
    )

    # pipeline.yml:16
    ingest = DataTransferOperator(
        task_id="ingest",
        inputs={
            "flights": {
                "path": "azureml://datastores/landing/paths/flights",
                "partitions": {
                    "files": "flights-%Y-%m.csv",
                    "anchor": "${{parent.inputs.month}}",
                    "count": 3,
                    "ahead": 1,
                },
            },
        },
        outputs={"months": {"type": "uri_folder"}},
        copy_mode="merge_with_overwrite",
        owner="ml-platform",
        retries=3,
        retry_delay=timedelta(minutes=5),
        trigger_rule="none_failed",
    )

    # pipeline.yml:28
    prepare = CommandOperator(
        task_id="prepare",
        command="python prepare.py --months ${{inputs.months}} --delay ${{inputs.delay}} --features ${{outputs.features}}",
        code="../pipelines/flights/src",
        additional_includes=["../pipelines/shared.py"],
        inputs={
            "months": "${{parent.jobs.ingest.outputs.months}}",
            "holidays": {
                "type": "uri_file",
                "path": "../pipelines/flights/data/holidays.csv",
            },
            "delay": "${{parent.inputs.delay_minutes}}",
        },
        outputs={"features": {"type": "uri_folder"}},
        environment={"conda_file": "../pipelines/flights/environment.yml"},
        environment_variables={"OMP_NUM_THREADS": "2"},
        compute="local",
        owner="ml-platform",
        retries=3,
        retry_delay=timedelta(minutes=5),
        trigger_rule="none_failed",
    )

    # pipeline.yml:42
    train = CommandOperator(
        task_id="train",
        command="python train.py --features ${{inputs.features}} --lr ${{inputs.lr}} --model ${{outputs.model}}",
        code="../pipelines/flights/src",
        inputs={
            "features": "${{parent.jobs.prepare.outputs.features}}",
            "lr": "${{parent.inputs.learning_rate}}",
        },
        outputs={"model": {"type": "mlflow_model", "name": "flight-delays"}},
        compute="gpu-box",
        owner="ml-platform",
        retries=2,
        retry_delay=timedelta(seconds=90),
        pool="gpu",
        trigger_rule="none_failed",
        outlets=[Asset(name="model/flight-delays", uri="mlpipe://model/flight-delays")],
    )

    # pipeline.yml:54
    score = ParallelRunOperator(
        task_id="score",
        code="../pipelines/flights/src",
        inputs={
            "months": "${{parent.jobs.ingest.outputs.months}}",
            "model": "${{parent.jobs.train.outputs.model}}",
        },
        outputs={"scores": {"type": "uri_file"}},
        compute="local",
        parallel={
            "entry_script": "score.py",
            "input": "months",
            "mini_batch_size": 4,
            "program_arguments": "--model ${{inputs.model}}",
            "append_row_to": "scores",
        },
        owner="ml-platform",
        retries=3,
        retry_delay=timedelta(minutes=5),
        trigger_rule="none_failed",
    )

    plan >> ingest
    # prepare: months of ingest
    ingest >> prepare
    # train: features of prepare
    prepare >> train
    # score: months of ingest, model of train
    [ingest, train] >> score
