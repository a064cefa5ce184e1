"""The operator call of a step: which class, and the step's fields as far as they are not the default."""

from __future__ import annotations

from typing import Any

from msgspec.structs import fields

from airflow_mlpipe.frozen import default_of, said
from airflow_mlpipe.generator.paths import Relocation
from airflow_mlpipe.spec.step import Branch, InputData, InputValue, OutputData, Step

OPERATORS = {
    "automl": "AutoMLOperator",
    "branch": "BranchOperator",
    "command": "CommandOperator",
    "data_transfer": "DataTransferOperator",
    "import": "ImportOperator",
    "parallel": "ParallelRunOperator",
    "spark": "SparkOperator",
    "sweep": "SweepOperator",
}
"""Step type to the operator whose arguments are the fields of such a step."""
_NOT_ARGUMENTS = frozenset({"name", "type", "upstream"})
_NOT_OF_A_TRANSFER = frozenset({"compute"})
"""The worker copies; the pipeline's default target, which every step has, is not for it."""
_JOB_OUTPUT = "${{parent.jobs."
_DEFAULTS = {field.name: default_of(field) for field in fields(Step)}


def step_arguments(step: Step, move: Relocation) -> dict[str, Any]:
    """Return the keyword arguments that a step's own fields become, in the order of :class:`Step`.

    A field with its default value is left out, and so is every default inside inputs and outputs.
    """
    if step.branch is not None:
        return _decision(step, step.branch)
    left_out = _NOT_ARGUMENTS | (_NOT_OF_A_TRANSFER if step.type == "data_transfer" else frozenset())
    written = {
        key: getattr(step, key)
        for key, default in _DEFAULTS.items()
        if key not in left_out and getattr(step, key) != default
    }
    plain = {
        "code": move.relocate(step.code) if step.code else step.code,
        "additional_includes": [move.relocate(path) for path in step.additional_includes],
        "inputs": {port: _input(value, move) for port, value in step.inputs.items()},
        "outputs": {port: _output(value) for port, value in step.outputs.items()},
        "environment": move.environment(step.environment),
        "resources": said(step.resources) if step.resources else None,
        "distribution": said(step.distribution) if step.distribution else None,
        "parallel": said(step.parallel) if step.parallel else None,
    }
    return {key: plain.get(key, value) for key, value in written.items()}


def _decision(step: Step, branch: Branch) -> dict[str, Any]:
    """The condition, and the lists that are not empty."""
    condition = step.inputs["condition"]
    plain = str(condition.path) if isinstance(condition, InputData) else condition
    lists = {"when_true": list(branch.when_true), "when_false": list(branch.when_false), "stand_ins": branch.stand_ins}
    return {"condition": plain, **{key: value for key, value in lists.items() if value}}


def _input(value: InputValue, move: Relocation) -> Any:
    """Data as a dict, or as its path alone where that says all: the output of another step, which brings its type."""
    if not isinstance(value, InputData):
        return value
    produced = value.path.startswith(_JOB_OUTPUT)
    plain = said(value, without={"type"} if produced else ())
    plain["path"] = move.relocate(value.path)
    return plain["path"] if produced and list(plain) == ["path"] else plain


def _output(value: OutputData) -> dict[str, Any]:
    return {"type": value.type, **said(value)}
