"""The last look at a rendered file: it must say what the plan says, and hold nothing that no template intends."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.generator.literals import evaluate, same
from airflow_mlpipe.generator.plan import DagPlan, Task


def verify(text: str, plan: DagPlan) -> None:
    """Compile a DAG file and compare it with its plan, without running it.

    Every planned operator call and the ``DAG(...)`` call must be there once with exactly the planned arguments. A
    template of the user may add arguments, statements and imports of its own; that is its right.

    :raises ConfigError: if the text is not Python or says something else than the plan.
    """
    try:
        tree = ast.parse(text)
        compile(tree, plan.source, "exec")
    except (SyntaxError, ValueError) as error:
        raise _bad(plan, f"writes text that is not Python: {error}") from error
    blocks = [node for node in tree.body if isinstance(node, ast.With)]
    if len(blocks) != 1 or _called(blocks[0].items[0].context_expr) != "DAG":
        raise _bad(plan, "must have exactly one 'with DAG(...):' at the top level")
    expected = {"dag_id": plan.dag_id, **plan.arguments, **plan.run_limits, "params": dict(plan.params)}
    _compare(plan, blocks[0].items[0].context_expr, expected, "DAG")
    _compare_tasks(plan, blocks[0].body)


def _compare_tasks(plan: DagPlan, body: list[ast.stmt]) -> None:
    found: dict[str, tuple[ast.expr, tuple[str, ...]]] = {}
    for target, value, groups in _assignments(plan, body, ()):
        if target in found:
            raise _bad(plan, f"assigns {target!r} twice")
        found[target] = value, groups
    for task in plan.tasks:
        call, groups = found.get(task.variable, (None, ()))
        _compare_task(plan, task, call)
        if groups != task.groups:
            raise _bad(plan, f"does not write the step {task.arguments['task_id']!r} in the task groups planned")


def _assignments(
    plan: DagPlan, body: list[ast.stmt], groups: tuple[str, ...]
) -> Iterator[tuple[str, ast.expr, tuple[str, ...]]]:
    """Yield every assignment to a name, those inside task groups included, with the groups around it."""
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id, statement.value, groups
        elif isinstance(statement, ast.With) and _called(statement.items[0].context_expr) == "TaskGroup":
            yield from _assignments(plan, statement.body, (*groups, _group_id(plan, statement.items[0].context_expr)))


def _group_id(plan: DagPlan, call: ast.expr) -> str:
    written = {keyword.arg: keyword.value for keyword in call.keywords} if isinstance(call, ast.Call) else {}
    name = written.get("group_id")
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
        raise _bad(plan, "writes a TaskGroup without group_id")
    return name.value


def _compare_task(plan: DagPlan, task: Task, call: ast.expr | None) -> None:
    if call is None or _called(call) != task.operator:
        raise _bad(
            plan, f"does not write the step {task.arguments['task_id']!r} as '{task.variable} = {task.operator}(...)'"
        )
    _compare(plan, call, dict(task.arguments), f"step {task.arguments['task_id']!r}")


def _called(node: ast.expr) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _compare(plan: DagPlan, call: ast.expr, expected: dict[str, object], what: str) -> None:
    written = {keyword.arg: keyword.value for keyword in call.keywords} if isinstance(call, ast.Call) else {}
    for key, value in expected.items():
        if key not in written or not _says(written[key], value):
            raise _bad(plan, f"does not write the argument {key!r} of {what} as planned")


def _says(node: ast.expr, value: object) -> bool:
    try:
        return same(evaluate(node), value)
    except ValueError:
        return False


def _bad(plan: DagPlan, reason: str) -> ConfigError:
    return ConfigError(f"{plan.source}: the template '{plan.template}' {reason}.")
