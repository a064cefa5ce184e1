# Written by airflow-mlpipe 0.1.0 (template batch_scoring): change the spec, not this file.
# spec hash: sha256:954876dc1e36adc2a063059c7812d84da70895d9d6d086a915f0c9a11812a9db
# spec: ../pipelines/scoring.yml
"""scoring.

Models that each run scores with:

- azureml:prices@latest (step look.twice)

Steps, each with those that it waits for:

    fetch
    lambda
      look.twice  <- fetch, lambda
    plan

The spec of this pipeline is ../pipelines/scoring.yml.
To write this file anew, run in its folder:

    mlpipe generate ../pipelines/scoring.yml -o .
"""

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Param
from airflow_mlpipe.operators import (
    CommandOperator,
    PlanOperator,
)

with DAG(
    dag_id="scoring",
    schedule=timedelta(hours=6),
    start_date=pendulum.datetime(2026, 1, 1, 1, 30, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    params={
        "rows": Param(100, type="integer"),
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
        task_id="mlpipe_plan",
        queue="cpu",
    )

    # scoring.yml:6
    fetch = CommandOperator(
        task_id="fetch",
        command='python -c "print(1)" --rows ${{inputs.rows}} --flats ${{outputs.flats}}',
        inputs={"rows": "${{parent.inputs.rows}}"},
        outputs={"flats": {"type": "uri_folder"}},
        pool="scoring",
        queue="cpu",
        trigger_rule="none_failed",
    )

    # scoring.yml:20
    lambda_step = CommandOperator(
        task_id="lambda",
        command='echo O\'Brien "quoted" \\n {{ ds }} $(touch x)',
        pool="scoring",
        queue="cpu",
        trigger_rule="none_failed",
    )

    # scoring.yml:11
    look_twice = CommandOperator(
        task_id="look.twice",
        command="score ${{inputs.flats}} ${{inputs.model}} $[[--weights ${{inputs.weights}}]] ${{outputs.scores}}",
        inputs={
            "flats": "${{parent.jobs.fetch.outputs.flats}}",
            "model": {"type": "mlflow_model", "path": "azureml:prices@latest"},
            "weights": {
                "type": "uri_file",
                "path": "azureml:weights:3",
                "optional": True,
            },
        },
        outputs={"scores": {"type": "uri_file"}},
        pool="scoring",
        queue="cpu",
        priority_weight=5,
        execution_timeout=timedelta(hours=1),
        trigger_rule="none_failed",
    )

    # scoring.yml:23
    plan_step = CommandOperator(
        task_id="plan",
        command="echo the plan",
        pool="scoring",
        queue="cpu",
        trigger_rule="none_failed",
    )

    plan >> [fetch, lambda_step, plan_step]
    # look.twice: flats of fetch, after lambda
    [fetch, lambda_step] >> look_twice
