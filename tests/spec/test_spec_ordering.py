from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.spec.ordering import cycle, ordered

graphs = st.integers(1, 9).flatmap(
    lambda size: st.fixed_dictionaries(
        {f"j{n}": st.lists(st.integers(0, size - 1).map("j{}".format), max_size=3) for n in range(size)}
    )
)


@given(graphs)
def test_every_job_comes_after_what_it_waits_for(upstream: dict[str, list[str]]) -> None:
    order = ordered(upstream)
    for number, name in enumerate(order):
        assert set(upstream[name]) <= set(order[:number])
    if len(order) == len(upstream):
        assert cycle(upstream) == []


@given(graphs)
def test_a_cycle_is_one(upstream: dict[str, list[str]]) -> None:
    loop = cycle(upstream)
    if len(ordered(upstream)) < len(upstream):
        assert loop[0] == loop[-1]
        assert len(set(loop)) == len(loop) - 1
        assert all(before in upstream[after] for before, after in pairwise(loop))


@given(graphs)
def test_each_job_is_the_first_in_the_file_that_is_ready(upstream: dict[str, list[str]]) -> None:
    done: list[str] = []
    for name in ordered(upstream):
        ready = [other for other in upstream if other not in done and set(upstream[other]) <= set(done)]
        assert name == ready[0]
        done.append(name)


def test_a_thousand_jobs_in_a_row() -> None:
    upstream = {f"j{n}": [f"j{n + 1}"] for n in range(999)} | {"j999": []}
    assert ordered(upstream) == [f"j{n}" for n in range(999, -1, -1)]
