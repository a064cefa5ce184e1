"""A Python script as a step."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.operators.base import BaseStepOperator

_PLACEHOLDER = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)


class PythonScriptOperator(BaseStepOperator):
    """Runs a Python script on a compute target, or reuses what it wrote before. Azure ML v1's ``PythonScriptStep``.

    .. code-block:: python

        train = PythonScriptOperator(
            task_id="train",
            script_name="train.py",
            arguments=["--features", "${{inputs.features}}", "--rate", 0.1, "--model", "${{outputs.model}}"],
            code="./src",
            inputs={"features": prepare.outputs["features"]},
            outputs={"model": {"type": "custom_model", "name": "flight-delays"}},
        )

    :param script_name: the script, relative to ``code``.
    :param arguments: the script's arguments, one list entry for each word that it shall see. Placeholders may stand
        alone or inside an entry; everything else arrives as the same characters, whatever they mean to a shell.

    Further arguments: :class:`~airflow_mlpipe.operators.base.BaseStepOperator`.
    """

    step_type = "command"

    def __init__(self, *, script_name: str, arguments: Sequence[Any] = (), **kwargs: Any) -> None:
        super().__init__(work={"command": script_command(script_name, arguments)}, **kwargs)


def script_command(script_name: str, arguments: Sequence[Any]) -> str:
    """Return the command that runs a script with these words as its arguments.

    :raises ConfigError: if an argument is no word.
    """
    if isinstance(arguments, str):
        raise ConfigError(f"arguments must be a list of words, not one text. Write {shlex.split(arguments)!r}.")
    return " ".join(["python", *(_word(item) for item in (script_name, *arguments))])


def _word(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise ConfigError(f"An argument must be a text or a number; {value!r} is a {type(value).__name__}.")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if "$[[" in text:
        return text
    literals = _PLACEHOLDER.split(text)
    placeholders = [*_PLACEHOLDER.findall(text), ""]
    quoted = [shlex.quote(part) if part else "" for part in literals]
    return "".join(part + hole for part, hole in zip(quoted, placeholders, strict=True)) or "''"
