"""The benchmarks of waiting and of first runs in miniature: they measure what they say."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.compute.base import JobState
from airflow_mlpipe.compute.local import LocalTarget
from benchmarks import overhead, triggerer
from benchmarks.thousand_jobs import running_jobs


def test_cloned_jobs_run_until_the_real_one_ends(tmp_path: Path, wait_until: Callable[..., Any]) -> None:
    target = LocalTarget("local", tmp_path / "jobs")
    with running_jobs(tmp_path, 20) as handles:
        states = asyncio.run(target.status(handles))
    assert {status.state for status in states} == {JobState.RUNNING}
    wait_until(lambda: {status.state for status in asyncio.run(target.status(handles))} == {JobState.LOST})


@pytest.mark.airflow
@pytest.mark.parametrize("way", [triggerer.OURS, triggerer.PEER])
def test_both_ways_look_at_every_job(way: str, tmp_path: Path) -> None:
    with running_jobs(tmp_path, 50) as handles:
        (tmp_path / "keys.txt").write_text("\n".join(handle.key for handle in handles))
        figures = triggerer.follow(tmp_path, way, interval=2.0, seconds=12.0)
    assert figures["all_seen"] is not None
    assert figures["calls"] >= (250 if way == triggerer.PEER else 5)


def test_the_same_commands_with_and_without_the_product(tmp_path: Path) -> None:
    overhead.write_dags(tmp_path, 3)
    texts = {name: (tmp_path / "dags" / f"{name}.py").read_text() for name in (overhead.BASH, *overhead._OURS)}
    for text in texts.values():
        ast.parse(text)
    assert [text.count("step.sh") for text in texts.values()] == [3, 3, 3]
    assert texts["bash"].count("BashOperator(") == 3
    assert texts["worker"].count("deferrable=False") == 3
    assert texts["deferred"].count("defer_after=0.0") == 3
