"""What a benchmark hands back: rows, bounds and the machine; as a table for people and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.measure import Series, cpus, paired_ratio, walls

_MILLISECONDS_BELOW = 0.0995


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    :param what: its name.
    :param samples: one per repeat.
    :param peer: name of the row that it is compared with.
    :param ratio: how many times the peer's seconds it took, paired by round; ``None`` without a peer.
    """

    what: str
    samples: Series
    peer: str = ""
    ratio: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        spent = walls(self.samples)
        return {
            "what": self.what,
            "wall_median": statistics.median(spent),
            "wall_min": min(spent),
            "wall_max": max(spent),
            "cpu_median": statistics.median(cpus(self.samples)),
            "wall": spent,
            "cpu": cpus(self.samples),
            "peer": self.peer or None,
            "ratio": self.ratio,
        }


def compared(what: str, samples: Series, peer: Row, by: Literal["wall", "cpu"] = "wall") -> Row:
    """Return a row with its ratio against another one."""
    of = walls if by == "wall" else cpus
    return Row(what, samples, peer.what, paired_ratio(of(samples), of(peer.samples)))


@dataclass(frozen=True)
class Bound:
    """A promise and whether it holds.

    :param text: what is promised, the limit included.
    :param value: what was measured.
    :param limit: the promised number.
    :param sense: which side of the limit is good.
    :param unit: printed behind the value: ``s`` or ``x``.
    """

    text: str
    value: float
    limit: float
    sense: Literal["at most", "at least"]
    unit: str = "s"

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.limit if self.sense == "at most" else self.value >= self.limit

    @property
    def verdict(self) -> str:
        """The value and the judgement in words."""
        return f"{self.value:.2f} {self.unit}, {'holds' if self.holds else 'short of the bound'}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "text": self.text,
            "value": self.value,
            "sense": self.sense,
            "limit": self.limit,
            "unit": self.unit,
            "holds": self.holds,
        }


@dataclass
class Report:
    """The result of one benchmark.

    :param title: what it shows.
    :param notes: what a reader of the figures must know.
    """

    title: str
    rows: list[Row] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Machine:
    """Where and in what company the figures were taken.

    :param load_before: the load averages of 1, 5 and 15 minutes.
    """

    load_before: tuple[float, float, float]
    load_after: tuple[float, float, float]
    cores: int
    python: str

    @classmethod
    def after(cls, load_before: tuple[float, float, float]) -> Machine:
        """Describe this machine, now that the benchmark has ended."""
        return cls(load_before, os.getloadavg(), len(os.sched_getaffinity(0)), platform.python_version())

    def __str__(self) -> str:
        return (
            f"load {_loads(self.load_before)} before, {_loads(self.load_after)} after; "
            f"{self.cores} cores; Python {self.python}"
        )


def _loads(loads: tuple[float, float, float]) -> str:
    return "/".join(f"{load:.1f}" for load in loads)


def seconds(value: float) -> str:
    """Return seconds as a person reads them: ``1.24 s``, ``14.2 ms``."""
    return f"{value:.2f} s" if value >= _MILLISECONDS_BELOW else f"{value * 1000:.1f} ms"


def print_report(console: Console, report: Report, machine: Machine) -> None:
    """Print the tables of a benchmark: what was measured, then what was promised."""
    table = Table(
        "what",
        "repeats",
        "median",
        "min",
        "max",
        "CPU",
        "ratio",
        "against",
        title=escape(report.title),
        title_justify="left",
    )
    for row in report.rows:
        table.add_row(*(escape(cell) for cell in _cells(row)))
    console.print(table)
    for bound in report.bounds:
        colour = "green" if bound.holds else "red"
        console.print(f"  {escape(bound.text)}: [{colour}]{escape(bound.verdict)}[/{colour}]")
    for note in report.notes:
        console.print(f"  {escape(note)}")
    console.print(f"  {machine}\n")


def _cells(row: Row) -> tuple[str, ...]:
    spent = walls(row.samples)
    times = (statistics.median(spent), min(spent), max(spent), statistics.median(cpus(row.samples)))
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} x"
    return (row.what, str(len(spent)), *(seconds(value) for value in times), ratio, row.peer)


def as_dict(name: str, report: Report, machine: Machine) -> dict[str, Any]:
    """Return everything about a benchmark as plain values for JSON."""
    return {
        "name": name,
        "title": report.title,
        "rows": [row.as_dict() for row in report.rows],
        "bounds": [bound.as_dict() for bound in report.bounds],
        "notes": report.notes,
        "machine": {
            "load_before": machine.load_before,
            "load_after": machine.load_after,
            "cores": machine.cores,
            "python": machine.python,
        },
    }
