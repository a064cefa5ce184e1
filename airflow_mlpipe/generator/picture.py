"""The graph of a pipeline in a few lines of text, for the docstring of its DAG file and Airflow's page of the DAG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from airflow_mlpipe.spec.step import Step

_MOST = 40
_INDENT = "  "


def picture(steps: Sequence[Step]) -> Iterator[str]:
    """Yield a line for each step, the further to the right the later it can begin, with the steps that it waits for.

    Nothing for a single step, and for more steps than fit a screen: Airflow draws these better.
    """
    if not 1 < len(steps) <= _MOST:
        return
    upstream = {step.name: step.upstream for step in steps}
    for step in steps:
        before = f"  <- {', '.join(step.upstream)}" if step.upstream else ""
        yield f"{_INDENT * _depth(step.name, upstream)}{step.name}{before}"


def _depth(name: str, upstream: Mapping[str, Sequence[str]]) -> int:
    """Return how many steps, one after the other, come before a step at the least favourable."""
    depth, layer = 0, set(upstream[name])
    while layer:
        depth += 1
        layer = {before for each in layer for before in upstream[each]}
    return depth
