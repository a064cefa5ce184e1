"""The DAG file that a person would write for the layered pipeline, made without the generator and its code."""

from __future__ import annotations

from benchmarks.pipelines import layers, step_name

_HEAD = '''\
"""Layers of steps."""

from airflow.sdk import DAG, Param
from airflow_mlpipe.operators import CommandOperator, PlanOperator

with DAG(
    dag_id={dag_id},
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    params={{
        "rate": Param(0.1, type="number", minimum=0, maximum=1, description="Share of the rows to keep."),
        "reuse": Param("auto", type="string", enum=["auto", "force", "disable"]),
        "reuse_steps": Param({{}}, type="object"),
    }},
):
    plan = PlanOperator(task_id="plan")
'''
_STEP = """\
    {name} = CommandOperator(
        task_id="{name}",
        command="sh step.sh --number {number}{ports} --rate ${{{{inputs.rate}}}} --out ${{{{outputs.out}}}}",
        code="{code}",
        inputs={{{inputs}}},
        outputs={{"out": {{}}}},
        retries=3,
    )
"""
_INPUT = '"{port}": {before}.outputs["out"]'


def layered_dag(dag_id: str, steps: int, code: str = "./src") -> str:
    """Return the file.

    :param code: source folder, relative to the DAG file.
    """
    parts = [_HEAD.format(dag_id=repr(dag_id).replace("'", '"'))]
    first = []
    for number, upstream in layers(steps).items():
        inputs = ['"rate": "${{parent.inputs.rate}}"']
        used = list(zip(("left", "right"), upstream, strict=False))
        inputs += [_INPUT.format(port=port, before=step_name(before)) for port, before in used]
        ports = "".join(f" --{port} ${{{{inputs.{port}}}}}" for port, _ in used)
        name = step_name(number)
        parts.append(_STEP.format(name=name, number=number, ports=ports, code=code, inputs=", ".join(inputs)))
        if not upstream:
            first.append(name)
    return "\n".join([*parts, f"    plan >> [{', '.join(first)}]\n"])
