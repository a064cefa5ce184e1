"""Puts jobs in the order in which they can run, or names the cycle that forbids it."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence


def ordered(upstream: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the jobs in topological order; among those that are ready together the order of the mapping holds.

    :param upstream: the jobs that each one waits for, all of them keys too.
    :returns: fewer jobs than were given if some wait for each other.
    """
    rank = {name: number for number, name in enumerate(upstream)}
    names = list(upstream)
    waiting = {name: len(set(before)) for name, before in upstream.items()}
    downstream: dict[str, list[str]] = {name: [] for name in upstream}
    for name, before in upstream.items():
        for other in set(before):
            downstream[other].append(name)
    ready = [rank[name] for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for other in downstream[name]:
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(ready, rank[other])
    return order


def cycle(upstream: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one cycle in the direction in which the data flows, first job repeated at the end; empty if there is none.

    It begins with that of its jobs that was written first.
    """
    done = set(ordered(upstream))
    stuck = [name for name in upstream if name not in done]
    if not stuck:
        return []
    trail: list[str] = []
    name = stuck[0]
    while name not in trail:
        trail.append(name)
        name = next(other for other in upstream[name] if other not in done)
    loop = trail[trail.index(name) :][::-1]
    first = min(range(len(loop)), key=lambda number: stuck.index(loop[number]))
    return [*loop[first:], *loop[:first], loop[first]]
