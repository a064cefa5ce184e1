# Written by airflow-mlpipe 0.1.0 (template general): change the spec, not this file.
# spec hash: sha256:6277e9db90236710b0c75ef02aad19b9fb33b0454026293b7af6a809812357cc
# spec: ../pipelines/branches.yml
"""branches: A decision, a loop with a condition, and a job for each item.

Steps, each with those that it waits for:

    check
      decide  <- check
        deploy  <- check, decide
        repair  <- decide
        tell  <- decide
          report  <- deploy, repair
    strictly
      improve.fit_1  <- strictly
        improve.again_1  <- improve.fit_1
          improve.fit_2  <- improve.fit_1, improve.again_1
            improve.again_2  <- improve.fit_2
              improve.fit_3  <- improve.fit_2, improve.again_2
                show  <- improve.fit_3
    each.region_east
    each.region_west

The spec of this pipeline is ../pipelines/branches.yml.
To write this file anew, run in its folder:

    mlpipe generate ../pipelines/branches.yml -o .
"""

from airflow.sdk import DAG, Param, TaskGroup
from airflow_mlpipe.operators import (
    BranchOperator,
    CommandOperator,
    PlanOperator,
)

with DAG(
    dag_id="branches",
    description="A decision, a loop with a condition, and a job for each item.",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    params={
        "strict": Param(True, type="boolean"),
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

    # branches.yml:10
    check = CommandOperator(
        task_id="check",
        command="echo true > ${{outputs.good}}; echo 0.5 > ${{outputs.score}}",
        outputs={
            "good": {"type": "uri_file", "value": "boolean"},
            "score": {"type": "uri_file", "value": "number"},
        },
        trigger_rule="none_failed",
    )

    # branches.yml:16
    decide = BranchOperator(
        task_id="decide",
        condition="${{parent.jobs.check.outputs.good}}",
        when_true=["deploy"],
        when_false=["repair", "tell"],
        pool="decisions",
        trigger_rule="none_failed",
    )

    # branches.yml:22
    deploy = CommandOperator(
        task_id="deploy",
        command="echo ${{inputs.score}} > ${{outputs.page}}/score.txt",
        inputs={
            "score": {
                "path": "${{parent.jobs.check.outputs.score}}",
                "value": "number",
            },
        },
        outputs={"page": {"type": "uri_folder"}},
        trigger_rule="none_failed",
    )

    # branches.yml:27
    repair = CommandOperator(
        task_id="repair",
        command="echo repaired > ${{outputs.page}}/repaired.txt",
        outputs={"page": {"type": "uri_folder"}},
        trigger_rule="none_failed",
    )

    # branches.yml:31
    tell = CommandOperator(
        task_id="tell",
        command="echo something was wrong",
        trigger_rule="none_failed",
    )

    # branches.yml:34
    report = CommandOperator(
        task_id="report",
        command="ls $[[${{inputs.deployed}}]] $[[${{inputs.repaired}}]]",
        inputs={
            "deployed": {
                "path": "${{parent.jobs.deploy.outputs.page}}",
                "optional": True,
            },
            "repaired": {
                "path": "${{parent.jobs.repair.outputs.page}}",
                "optional": True,
            },
        },
        trigger_rule="none_failed",
    )

    # branches.yml:41
    strictly = BranchOperator(
        task_id="strictly",
        condition="${{parent.inputs.strict}}",
        when_true=[
            "improve.fit_1",
            "improve.again_1",
            "improve.fit_2",
            "improve.again_2",
            "improve.fit_3",
        ],
        trigger_rule="none_failed",
    )

    with TaskGroup(group_id="improve"):
        # branches.yml:45
        improve_fit_1 = CommandOperator(
            task_id="fit_1",
            command="echo x$[[$(cat ${{inputs.old}})]] > ${{outputs.model}}; test $(cat ${{outputs.model}}) = xx && echo false > ${{outputs.more}} || echo true > ${{outputs.more}}",
            inputs={
                "old": {
                    "type": "uri_file",
                    "path": "../pipelines/none.txt",
                    "optional": True,
                },
            },
            outputs={
                "model": {"type": "uri_file"},
                "more": {"type": "uri_file", "value": "boolean"},
            },
            trigger_rule="none_failed",
        )

        # branches.yml:52
        improve_again_1 = BranchOperator(
            task_id="again_1",
            condition="${{parent.jobs.improve.fit_1.outputs.more}}",
            when_true=["improve.fit_2", "improve.again_2"],
            stand_ins={"improve.fit_2": "improve.fit_1"},
            trigger_rule="none_failed",
        )

        # branches.yml:45
        improve_fit_2 = CommandOperator(
            task_id="fit_2",
            command="echo x$[[$(cat ${{inputs.old}})]] > ${{outputs.model}}; test $(cat ${{outputs.model}}) = xx && echo false > ${{outputs.more}} || echo true > ${{outputs.more}}",
            inputs={"old": "${{parent.jobs.improve.fit_1.outputs.model}}"},
            outputs={
                "model": {"type": "uri_file"},
                "more": {"type": "uri_file", "value": "boolean"},
            },
            trigger_rule="none_failed",
        )

        # branches.yml:52
        improve_again_2 = BranchOperator(
            task_id="again_2",
            condition="${{parent.jobs.improve.fit_2.outputs.more}}",
            when_true=["improve.fit_3"],
            stand_ins={"improve.fit_3": "improve.fit_2"},
            trigger_rule="none_failed",
        )

        # branches.yml:45
        improve_fit_3 = CommandOperator(
            task_id="fit_3",
            command="echo x$[[$(cat ${{inputs.old}})]] > ${{outputs.model}}; test $(cat ${{outputs.model}}) = xx && echo false > ${{outputs.more}} || echo true > ${{outputs.more}}",
            inputs={"old": "${{parent.jobs.improve.fit_2.outputs.model}}"},
            outputs={
                "model": {"type": "uri_file"},
                "more": {"type": "uri_file", "value": "boolean"},
            },
            trigger_rule="none_failed",
        )

    # branches.yml:58
    show = CommandOperator(
        task_id="show",
        command="cat ${{inputs.model}}",
        inputs={"model": "${{parent.jobs.improve.fit_3.outputs.model}}"},
        trigger_rule="none_failed",
    )

    with TaskGroup(group_id="each"):
        # branches.yml:66
        each_region_east = CommandOperator(
            task_id="region_east",
            command="echo ${{inputs.rate}} ${{inputs.who}}",
            inputs={"rate": 0.1, "who": "all"},
            trigger_rule="none_failed",
        )

        # branches.yml:66
        each_region_west = CommandOperator(
            task_id="region_west",
            command="echo ${{inputs.rate}} ${{inputs.who}}",
            inputs={"rate": 0.2, "who": "all"},
            trigger_rule="none_failed",
        )

    plan >> [check, strictly, each_region_east, each_region_west]
    # decide: condition of check
    check >> decide
    # deploy: score of check, decided by decide
    [check, decide] >> deploy
    # repair: decided by decide
    decide >> repair
    # tell: decided by decide
    decide >> tell
    # report: deployed of deploy, repaired of repair
    [deploy, repair] >> report
    # improve.fit_1: decided by strictly
    strictly >> improve_fit_1
    # improve.again_1: condition of improve.fit_1
    improve_fit_1 >> improve_again_1
    # improve.fit_2: old of improve.fit_1, decided by improve.again_1
    [improve_fit_1, improve_again_1] >> improve_fit_2
    # improve.again_2: condition of improve.fit_2
    improve_fit_2 >> improve_again_2
    # improve.fit_3: old of improve.fit_2, decided by improve.again_2
    [improve_fit_2, improve_again_2] >> improve_fit_3
    # show: model of improve.fit_3
    improve_fit_3 >> show
