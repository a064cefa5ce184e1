# Written by airflow-mlpipe 0.1.0 (template general): change the spec, not this file.
# spec hash: sha256:69bc30ae80f0bb39aae10c77ea53a61e790bbd881f7f37413b8406dd395ad45c
# spec: ../pipelines/dated.yml
"""dated: A month to work on, and whom to tell.

The spec of this pipeline is ../pipelines/dated.yml.
To write this file anew, run in its folder:

    mlpipe generate ../pipelines/dated.yml -o .
"""

from airflow.sdk import DAG, Param
from airflow_mlpipe.operators import (
    CommandOperator,
    PlanOperator,
    callback,
)

with DAG(
    dag_id="dated",
    description="A month to work on, and whom to tell.",
    schedule=None,
    on_failure_callback=callback("mlpipe_callbacks.page"),
    on_success_callback=callback("mlpipe_callbacks.note"),
    catchup=False,
    doc_md=__doc__,
    params={
        "month": Param(
            "2013-02-01",
            type="string",
            format="date",
            pattern="^(?=[3-9]|2[1-9]|20[2-9]|201[4-9]|2013-[1-9]|2013-0[2-9]|2013-01-[1-9]|2013-01-0[2-9]|2013-01-01)(?=[0-1]|20[0-1]|202[0-8]|2029-0|2029-1[0-1]|2029-12-[0-2]|2029-12-30|2029-12-31)",
            description="First day of the month. From 2013-01-01 until 2029-12-31.",
        ),
        "since": Param(
            None,
            type=["string", "null"],
            format="date-time",
            mlpipe_default="${{airflow.ts}}",
            description="Empty: ${{airflow.ts}} of the run.",
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

    # dated.yml:8
    fetch = CommandOperator(
        task_id="fetch",
        command="echo ${{inputs.month}} ${{inputs.since}} > ${{outputs.o}}/month",
        inputs={
            "month": "${{parent.inputs.month}}",
            "since": "${{parent.inputs.since}}",
        },
        outputs={"o": {"type": "uri_folder"}},
        on_failure_callback=callback("mlpipe_callbacks.alerts.page"),
        on_retry_callback=callback("mlpipe_callbacks.note"),
        trigger_rule="none_failed",
    )

    plan >> fetch
