# Written by airflow-mlpipe 0.1.0 (template general): change the spec, not this file.
# spec hash: sha256:a0180bc837ace69b91c1d81f4321652ca91a8a63101b9f55138f99b6c42bfd8e
# spec: ../pipelines/minimal.yml
"""minimal.

The spec of this pipeline is ../pipelines/minimal.yml.
To write this file anew, run in its folder:

    mlpipe generate ../pipelines/minimal.yml -o .
"""

from airflow.sdk import DAG, Param
from airflow_mlpipe.operators import (
    CommandOperator,
    PlanOperator,
)

with DAG(
    dag_id="minimal",
    schedule=None,
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

    # minimal.yml:3
    hello = CommandOperator(
        task_id="hello",
        command="echo hello",
        trigger_rule="none_failed",
    )

    plan >> hello
