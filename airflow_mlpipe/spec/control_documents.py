"""The raw shapes of Azure ML's control flow: ``if_else``, ``do_while``, ``parallel_for``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from airflow_mlpipe.spec.documents import JobAirflowKeys, Raw, Text, free, ignored, refused

MAX_ROUNDS = 1000
"""Azure ML's bound of ``max_iteration_count``."""


class ControlKeys(Raw):
    """What all of them may say."""

    schema_url: Any = Field(None, alias="$schema", description="Schema of the file; for editors.")
    airflow: JobAirflowKeys | None = Field(None, description="run_after, and what Airflow is told of the decision.")
    display_name: Any = ignored("a job is shown under its key in 'jobs'.")
    comment: Any = ignored("write a comment of YAML.")

    @property
    def kind(self) -> str:
        """Azure ML's word for it."""
        return str(getattr(self, "type", ""))

    @property
    def has_decisions(self) -> bool:
        """Whether something is decided after each round."""
        return getattr(self, "condition", None) is not None


class IfElse(ControlKeys):
    """``type: if_else``."""

    type: Literal["if_else"] = Field(description="if_else.")
    condition: Any = free("true, false, an input of type boolean, or a boolean output of a job.")
    true_block: Any = free("'${{parent.jobs.<job>}}', or a list of them: left out unless the condition is true.")
    false_block: Any = free("'${{parent.jobs.<job>}}', or a list of them: left out unless the condition is false.")


class LoopLimits(Raw):
    """``limits:`` of a ``do_while``."""

    max_iteration_count: int = Field(ge=1, le=MAX_ROUNDS, description="Rounds at most.")


class DoWhile(ControlKeys):
    """``type: do_while``."""

    type: Literal["do_while"] = Field(description="do_while.")
    body: Text = Field(description="'${{parent.jobs.<job>}}': the job that is repeated.")
    condition: Text | None = Field(None, description="A boolean output of the body; while it is true, one more round.")
    mapping: dict[str, Any] = Field(
        default_factory=dict, description="Output of a round to input, or inputs, of the next one."
    )
    limits: LoopLimits = Field(description="Rounds at most.")


class ParallelFor(ControlKeys):
    """``type: parallel_for``."""

    type: Literal["parallel_for"] = Field(description="parallel_for.")
    body: Text = Field(description="'${{parent.jobs.<job>}}': the job that is run for each item.")
    items: Any = free(
        "A list of {input: value}, or {name: {input: value}}, or either as JSON text. Refused: an expression, whose "
        "items only the run knows; each round is a step with a name and a record, which it has before the run."
    )
    max_concurrency: Any = ignored("a pool of Airflow limits how many run at once.")
    outputs: Any = refused("the outputs of all items cannot be given on as one yet; register them by 'name'.")


CONTROL: dict[str, type[ControlKeys]] = {"if_else": IfElse, "do_while": DoWhile, "parallel_for": ParallelFor}


def decision_name(number: int) -> str:
    """Return the name of the step that decides after a round of a loop."""
    return f"again_{number}"
