# Written by airflow-mlpipe 0.1.0 (template general): change the spec, not this file.
# spec hash: sha256:8aca7af9dc7cfce60a8750d6e64336f20271a7ac1581cd24bbf8ef6b56cf8ecf
# spec: ../pipelines/schedules/monthly.yml
"""Monthly comparison: Compares the regions once a month.

Steps, each with those that it waits for:

    east_model.clean
      east_model.fit.train  <- east_model.clean
        west_model.clean  <- east_model.fit.train
          west_model.fit.train  <- west_model.clean
            compare  <- east_model.fit.train, west_model.fit.train

The spec of this pipeline is ../pipelines/schedules/monthly.yml.
To write this file anew, run in its folder:

    mlpipe generate ../pipelines/schedules/monthly.yml -o .
"""

import pendulum
from airflow.sdk import DAG, Asset, Param, TaskGroup
from airflow_mlpipe.operators import (
    CommandOperator,
    PlanOperator,
)

with DAG(
    dag_id="monthly_nested",
    dag_display_name="Monthly comparison",
    description="Compares the regions once a month.",
    schedule="0 6 1 * *",
    start_date=pendulum.datetime(2013, 7, 1, 6, tz="Europe/Berlin"),
    end_date=pendulum.datetime(2014, 7, 1, tz="Europe/Berlin"),
    tags=["team:ml"],
    catchup=False,
    doc_md=__doc__,
    params={
        "rounds": Param(7, type="integer"),
        "east": Param(
            None,
            type=["string", "null"],
            pattern="^azureml:",
            mlpipe_data=True,
            description="Empty: as in the pipeline. Else azureml://datastores/<name>/paths/<path> or azureml:<name>:<version>.",
        ),
        "west": Param(
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

    with TaskGroup(group_id="east_model"):
        # ../nested/components/region.yml:12
        east_model_clean = CommandOperator(
            task_id="clean",
            command="python clean.py --raw ${{inputs.raw}} --out ${{outputs.rows}}",
            code="../pipelines/nested/src",
            inputs={
                "raw": {"path": "../pipelines/schedules/east", "parameter": "east"},
            },
            outputs={"rows": {"type": "uri_folder"}},
            compute="gpu-box",
            retries=2,
            pool="gpu",
            trigger_rule="none_failed",
        )

        with TaskGroup(group_id="fit"):
            # ../nested/components/fit.yml:9
            east_model_fit_train = CommandOperator(
                task_id="train",
                command='python train.py --rows ${{inputs.rows}} --rounds ${{inputs.rounds}} --title "${{inputs.title}}" $[[--note ${{inputs.note}}]] --out ${{outputs.model}}',
                code="../pipelines/nested/src",
                inputs={
                    "rows": "${{parent.jobs.east_model.clean.outputs.rows}}",
                    "rounds": "${{parent.inputs.rounds}}",
                    "title": "${{parent.inputs.rounds}} rounds",
                    "note": None,
                },
                outputs={"model": {"type": "mlflow_model", "name": "east-model"}},
                compute="gpu-box",
                retries=2,
                pool="gpu",
                trigger_rule="none_failed",
                outlets=[
                    Asset(name="model/east-model", uri="mlpipe://model/east-model"),
                ],
            )

    with TaskGroup(group_id="west_model"):
        # ../nested/components/region.yml:12
        west_model_clean = CommandOperator(
            task_id="clean",
            command="python clean.py --raw ${{inputs.raw}} --out ${{outputs.rows}}",
            code="../pipelines/nested/src",
            inputs={
                "raw": {
                    "path": "azureml://datastores/landing/paths/west",
                    "parameter": "west",
                },
            },
            outputs={"rows": {"type": "uri_folder"}},
            compute="gpu-box",
            trigger_rule="none_failed",
        )

        with TaskGroup(group_id="fit"):
            # ../nested/components/fit.yml:9
            west_model_fit_train = CommandOperator(
                task_id="train",
                command='python train.py --rows ${{inputs.rows}} --rounds ${{inputs.rounds}} --title "${{inputs.title}}" $[[--note ${{inputs.note}}]] --out ${{outputs.model}}',
                code="../pipelines/nested/src",
                inputs={
                    "rows": "${{parent.jobs.west_model.clean.outputs.rows}}",
                    "rounds": 5,
                    "title": "5 rounds",
                    "note": None,
                },
                outputs={"model": {"type": "mlflow_model"}},
                compute="gpu-box",
                trigger_rule="none_failed",
            )

    # ../nested/pipeline.yml:29
    compare = CommandOperator(
        task_id="compare",
        command="echo ${{inputs.east}} ${{inputs.west}} > ${{outputs.best}}/note.txt",
        inputs={
            "east": "${{parent.jobs.east_model.fit.train.outputs.model}}",
            "west": "${{parent.jobs.west_model.fit.train.outputs.model}}",
        },
        outputs={"best": {"type": "mlflow_model"}},
        compute="gpu-box",
        trigger_rule="none_failed",
    )

    plan >> east_model_clean
    # east_model.fit.train: rows of east_model.clean
    east_model_clean >> east_model_fit_train
    # west_model.clean: after east_model.fit.train
    east_model_fit_train >> west_model_clean
    # west_model.fit.train: rows of west_model.clean
    west_model_clean >> west_model_fit_train
    # compare: east of east_model.fit.train, west of west_model.fit.train
    [east_model_fit_train, west_model_fit_train] >> compare
