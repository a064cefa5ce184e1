# Written by airflow-mlpipe 0.1.0 (template general): change the spec, not this file.
# spec hash: sha256:c687ee8e619f814198a9fda50b650c626c06e901878ab047ac7be4f5bdc949c9
# spec: ../pipelines/later.yml
"""later: Jobs that cannot be run yet, among those that can.

Steps, each with those that it waits for:

    prepare
      search  <- prepare
      best  <- prepare
        count  <- search
    bring

The spec of this pipeline is ../pipelines/later.yml.
To write this file anew, run in its folder:

    mlpipe generate ../pipelines/later.yml -o .
"""

from airflow.sdk import DAG, Param
from airflow_mlpipe.operators import (
    AutoMLOperator,
    CommandOperator,
    ImportOperator,
    PlanOperator,
    SparkOperator,
    SweepOperator,
)

with DAG(
    dag_id="later",
    description="Jobs that cannot be run yet, among those that can.",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    params={
        "rate": Param(0.1, type="number"),
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

    # later.yml:7
    prepare = CommandOperator(
        task_id="prepare",
        command="echo ${{inputs.rate}} > ${{outputs.data}}/rows",
        inputs={"rate": "${{parent.inputs.rate}}"},
        outputs={"data": {"type": "mltable"}},
        trigger_rule="none_failed",
    )

    # later.yml:11
    search = SweepOperator(
        task_id="search",
        inputs={"data": "${{parent.jobs.prepare.outputs.data}}"},
        outputs={"model": {"type": "mlflow_model"}},
        definition={
            "trial": "./train.yml",
            "search_space": {
                "rate": {"type": "uniform", "min_value": 0.01, "max_value": 0.9},
            },
            "sampling_algorithm": "random",
            "objective": {"primary_metric": "auc", "goal": "maximize"},
            "limits": {"max_total_trials": 20, "timeout": 7200.0},
        },
        timeout=7200.0,
        trigger_rule="none_failed",
    )

    # later.yml:20
    best = AutoMLOperator(
        task_id="best",
        definition={
            "task": "classification",
            "training_data": {
                "type": "mltable",
                "path": "${{parent.jobs.prepare.outputs.data}}",
            },
            "limits": {"timeout_minutes": 60.0},
        },
        trigger_rule="none_failed",
    )

    # later.yml:25
    count = SparkOperator(
        task_id="count",
        inputs={"model": "${{parent.jobs.search.outputs.model}}"},
        definition={
            "code": "./src",
            "entry": {"file": "main.py"},
            "conf": {"spark.driver.cores": 1},
        },
        trigger_rule="none_failed",
    )

    # later.yml:31
    bring = ImportOperator(
        task_id="bring",
        definition={
            "source": {"type": "azuresql", "query": "select '{{ ds }}'"},
            "output": {"type": "mltable"},
        },
        trigger_rule="none_failed",
    )

    plan >> [prepare, bring]
    # search: data of prepare
    prepare >> search
    # best: after prepare
    prepare >> best
    # count: model of search
    search >> count
