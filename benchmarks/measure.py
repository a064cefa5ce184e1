"""Seconds of processes, and the arithmetic of comparing them on a machine that is never quite quiet."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class BenchmarkError(Exception):
    """What was measured was not what should be measured."""


@dataclass(frozen=True)
class Sample:
    """One repeat.

    :param wall: seconds.
    :param cpu: seconds of user and system time of the process and of all that it started.
    """

    wall: float
    cpu: float


Series = list[Sample]


def run_process(
    command: Sequence[str | Path],
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    expect: str = "",
) -> Sample:
    """Run a process to its end and return what it cost.

    :param environment: all environment variables of the process; ``None`` for those of this one.
    :param expect: text that its output must hold, so that a figure never stands for something else.
    :raises BenchmarkError: if it fails or its output lacks the text.
    """
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode:
        raise BenchmarkError(f"{' '.join(words)} ended with {process.returncode}:\n{said[-3000:]}")
    if expect not in said:
        raise BenchmarkError(f"{' '.join(words)} did not say {expect!r} but:\n{said[-3000:]}")
    return Sample(wall, usage.ru_utime + usage.ru_stime)


def run_here(work: Callable[[], object]) -> Sample:
    """Do something in this process and return what it cost; CPU is that of all threads, not that of other processes."""
    began, spent = time.perf_counter(), time.process_time()
    work()
    return Sample(time.perf_counter() - began, time.process_time() - spent)


def interleave(actions: Mapping[str, Callable[[], Sample]], repeats: int) -> dict[str, Series]:
    """Repeat several actions by turns, so that a change of load meets all of them.

    Every second round goes backwards: no action is always the one after the expensive one.

    :returns: name to its samples, in the order of the rounds.
    """
    samples: dict[str, Series] = {name: [] for name in actions}
    for number in range(repeats):
        order = list(actions) if number % 2 == 0 else list(actions)[::-1]
        for name in order:
            samples[name].append(actions[name]())
    return samples


def walls(series: Series) -> list[float]:
    """Return the wall seconds of a series."""
    return [sample.wall for sample in series]


def cpus(series: Series) -> list[float]:
    """Return the CPU seconds of a series."""
    return [sample.cpu for sample in series]


def paired_ratio(ours: Sequence[float], peer: Sequence[float]) -> float:
    """Return the median of the ratios of the rounds: how many times the peer's cost ours is.

    Both numbers of a ratio come from the same round, thus from the same load. The shorter series says how many there
    are.

    :raises ValueError: if there is no round.
    """
    return statistics.median(one / other for one, other in zip(ours, peer, strict=False))
