"""A generated DAG without its plan task: each task decides for itself, as a cache in every operator would."""

from __future__ import annotations

import ast

_PLAN = "PlanOperator"


def without_plan(text: str, dag_id: str) -> str:
    """Return the text of a generated DAG file without its plan task, under another DAG id.

    :raises ValueError: if there is no plan task in it.
    """
    module = ast.parse(text)
    (block,) = (node for node in module.body if isinstance(node, ast.With))
    plan = next((name for node in block.body if (name := _plan_name(node))), None)
    if plan is None:
        raise ValueError(f"there is no {_PLAN} in the DAG file")
    block.body = [node for node in block.body if not (_plan_name(node) or _begins_with(node, plan))]
    dag = block.items[0].context_expr
    assert isinstance(dag, ast.Call)
    for keyword in dag.keywords:
        if keyword.arg == "dag_id":
            keyword.value = ast.Constant(dag_id)
    return ast.unparse(module) + "\n"


def _plan_name(node: ast.stmt) -> str | None:
    """Return the variable if the statement assigns a plan task to one."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return None
    function, target = node.value.func, node.targets[0]
    is_plan = isinstance(function, ast.Name) and function.id == _PLAN and isinstance(target, ast.Name)
    return target.id if is_plan and isinstance(target, ast.Name) else None


def _begins_with(node: ast.stmt, name: str) -> bool:
    """Return whether the statement is ``name >> ...``."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.BinOp):
        return False
    left = node.value.left
    while isinstance(left, ast.BinOp):
        left = left.left
    return isinstance(left, ast.Name) and left.id == name
