"""Content digests without any memo, the price of the first look at data, against a bare loop over blake3."""

from __future__ import annotations

import os
from pathlib import Path

from blake3 import blake3

from airflow_mlpipe.content.digest import scan
from benchmarks.measure import BenchmarkError, Sample, interleave, run_here
from benchmarks.pipelines import write_big_data
from benchmarks.report import Bound, Report, Row, compared
from benchmarks.settings import Settings

BIG_FILE = 1 << 30
SMALL_FILES = 20_000
_OURS, _BARE = "content.scan", "open, read, blake3"
_BUFFER = 1 << 20


def run(settings: Settings) -> list[Report]:
    """Measure one big file, then many small ones; both lie in the page cache."""
    settings.say(f"writing {BIG_FILE / (1 << 30):g} GiB and {SMALL_FILES:,} files")
    data = settings.folder / "data"
    write_big_data(data, BIG_FILE, SMALL_FILES)
    one = _report(settings, data / "one" / "data.bin", f"Digest of {BIG_FILE / (1 << 30):g} GiB in one file", 1)
    speed = 1 / (one.rows[0].ratio or 1.0)
    one.bounds = [Bound("content.scan is at least 0.9 times as fast as the bare loop", speed, 0.9, "at least", "x")]
    many = _report(settings, data / "many", f"Digests of {SMALL_FILES:,} files of 10 KiB", SMALL_FILES)
    ratio = many.rows[0].ratio or 0.0
    many.bounds = [Bound("content.scan takes at most 1.2 times as long as the bare loop", ratio, 1.2, "at most", "x")]
    return [one, many]


def ours(place: Path, files: int) -> Sample:
    """Take the digests as the product does: names, sizes and times are checked before and after every read.

    :raises BenchmarkError: if it saw another number of files.
    """
    seen: list[int] = []
    sample = run_here(lambda: seen.append(len(manifest.entries) if (manifest := scan(place)) else 0))
    if seen != [files]:
        raise BenchmarkError(f"{_OURS} saw {seen} files instead of {files}")
    return sample


def bare(place: Path, files: int) -> Sample:
    """Take the digests with the shortest loop that can; nothing is checked.

    :raises BenchmarkError: if it saw another number of files.
    """
    seen: list[dict[str, str]] = []
    sample = run_here(lambda: seen.append(bare_digests(place)))
    if len(seen[0]) != files:
        raise BenchmarkError(f"the bare loop saw {len(seen[0])} files instead of {files}")
    return sample


def bare_digests(place: Path) -> dict[str, str]:
    """Return path to digest of a file, or of every file below a folder."""
    if place.is_file():
        return {str(place): _large(place)}
    digests = {}
    for folder, _folders, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - a bare loop has no objects
            with open(path, "rb") as file:  # noqa: PTH123
                digests[path] = blake3(file.read()).hexdigest()
    return digests


def _large(place: Path) -> str:
    hasher, buffer = blake3(), memoryview(bytearray(_BUFFER))
    with place.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.hexdigest()


def _report(settings: Settings, place: Path, title: str, files: int) -> Report:
    settings.say(f"{title}: {settings.repeats} rounds")
    ours(place, files)
    bare(place, files)
    samples = interleave({_OURS: lambda: ours(place, files), _BARE: lambda: bare(place, files)}, settings.repeats)
    peer = Row(_BARE, samples[_BARE])
    note = "One thread each. Files lie in the page cache; the bare loop walks too, but looks at no sizes and times."
    return Report(title, [compared(_OURS, samples[_OURS], peer), peer], notes=[note])
