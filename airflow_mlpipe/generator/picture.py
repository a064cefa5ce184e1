"""The graph of a pipeline in a few lines of text, for the docstring of its DAG file and Airflow's page of the DAG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_mlpipe.spec.step import Step

_MOST = 40
_INDENT = "  "


def picture(steps: Sequence[Step]) -> Iterator[str]:
    """Yield a line for each step, the further to the right the later it can begin, with the steps that it waits for.

    Nothing for a single step, and for more steps than fit a screen: Airflow draws these better.
    """
    if not 1 < len(steps) <= _MOST:
        return
    depths: dict[str, int] = {}
    for step in steps:
        depths[step.name] = max((depths[name] + 1 for name in step.upstream), default=0)
    for step in steps:
        before = f"  <- {', '.join(step.upstream)}" if step.upstream else ""
        yield f"{_INDENT * depths[step.name]}{step.name}{before}"
