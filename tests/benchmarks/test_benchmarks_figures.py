"""The arithmetic of the figures, and how they are told."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks.measure import BenchmarkError, Sample, cpus, interleave, paired_ratio, run_process, walls
from benchmarks.report import Bound, Machine, Report, Row, as_dict, compared, print_report, seconds

MACHINE = Machine((0.5, 0.6, 0.7), (1.5, 1.6, 1.7), 2, "3.11.7")
_positive = st.floats(min_value=0.001, max_value=1000)


def _series(*wall: float) -> list[Sample]:
    return [Sample(value, value / 2) for value in wall]


def test_ratio_compares_rounds_and_not_medians() -> None:
    # The machine was ten times slower in the second round; each round says 2.
    assert paired_ratio([2.0, 20.0, 2.2], [1.0, 10.0, 1.1]) == pytest.approx(2)


def test_ratio_uses_the_rounds_that_both_have() -> None:
    assert paired_ratio([60.0], [3.0, 1000.0]) == 20


@given(st.lists(_positive, min_size=1), st.floats(min_value=0.01, max_value=100))
def test_ratio_to_a_multiple_is_the_factor(base: list[float], factor: float) -> None:
    assert paired_ratio([value * factor for value in base], base) == pytest.approx(factor)


def test_rounds_alternate_and_turn_round() -> None:
    order: list[str] = []

    def action(name: str) -> Sample:
        order.append(name)
        return Sample(len(order), 0)

    samples = interleave({"a": lambda: action("a"), "b": lambda: action("b")}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert walls(samples["a"]) == [1, 4, 5]
    assert walls(samples["b"]) == [2, 3, 6]


def test_process_is_charged_for_what_it_started(tmp_path: Path) -> None:
    burn = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}], check=True); print('done')"
    sample = run_process([sys.executable, "-c", code], tmp_path, expect="done")
    assert sample.cpu >= 0.2
    assert sample.wall >= 0.2


def test_process_that_fails_or_says_something_else_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"(?s)ended with 3.*the reason"):
        run_process([sys.executable, "-c", "print('the reason'); raise SystemExit(3)"], tmp_path)
    with pytest.raises(BenchmarkError, match="did not say '0 ran'"):
        run_process([sys.executable, "-c", "print('1 ran')"], tmp_path, expect="0 ran")


@pytest.mark.parametrize(
    ("sense", "value", "holds"),
    [
        ("at most", 0.5, True),
        ("at most", 0.51, False),
        ("at least", 5, True),
        ("at least", 4.9, False),
    ],
)
def test_bound_judges(sense: str, value: float, holds: bool) -> None:
    limit = 0.5 if sense == "at most" else 5
    bound = Bound("it", value, limit, sense)  # type: ignore[arg-type]
    assert bound.holds is holds
    assert ("short of the bound" in bound.verdict) is not holds


def _report() -> Report:
    peer = Row("dvc repro", _series(2.0, 4.0, 3.0))
    ours = compared("mlpipe run", _series(0.2, 0.8, 0.3), peer)
    return Report("No-op", [ours, peer], [Bound("at most 0.2 s", 0.3, 0.2, "at most")], ["A [note]."])


def test_table_says_everything_a_reader_needs() -> None:
    console = Console(file=io.StringIO(), width=140, color_system=None)
    print_report(console, _report(), MACHINE)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("mlpipe run", "0.30 s", "0.20 s", "0.80 s", "0.15 s", "0.10 x", "dvc repro", "short of the bound"):
        assert part in text
    assert "load 0.5/0.6/0.7 before, 1.5/1.6/1.7 after; 2 cores; Python 3.11.7" in text
    assert "A [note]." in text


def test_json_keeps_every_repeat() -> None:
    plain = json.loads(json.dumps(as_dict("noop", _report(), MACHINE)))
    ours = plain["rows"][0]
    assert ours["wall"] == [0.2, 0.8, 0.3]
    assert (ours["wall_median"], ours["wall_min"], ours["wall_max"], ours["peer"]) == (0.3, 0.2, 0.8, "dvc repro")
    assert ours["ratio"] == pytest.approx(0.1)
    assert plain["bounds"][0]["holds"] is False
    assert plain["machine"]["load_after"] == [1.5, 1.6, 1.7]


def test_compared_by_cpu() -> None:
    peer = Row("peer", [Sample(1.0, 4.0)])
    row = compared("ours", [Sample(1.0, 1.0)], peer, by="cpu")
    assert row.ratio == 0.25
    assert cpus(row.samples) == [1.0]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0142, "14.2 ms"), (0.0994, "99.4 ms"), (0.1, "0.10 s"), (66.0, "66.00 s")]
)
def test_seconds_for_people(value: float, text: str) -> None:
    assert seconds(value) == text
