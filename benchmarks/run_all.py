"""Takes the figures: ``python benchmarks/run_all.py [NAME...] [--repeats N] [--json FILE]``, or ``make bench``.

A benchmark is no test: a bound that is missed is reported, and the exit code is 0. It is 1 only if a benchmark could
not measure what it should.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from rich.console import Console

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the package, and not its modules one by one

from benchmarks.measure import BenchmarkError
from benchmarks.report import Machine, as_dict, print_report
from benchmarks.settings import Settings

NAMES = {
    "parse": "parsing generated DAG files against hand-written ones",
    "noop_laptop": "mlpipe run of an unchanged pipeline against dvc repro",
    "noop_scheduler": "an unchanged run in a real Airflow against a one-task DAG and against no plan task",
    "overhead": "steps that run for the first time against BashOperators, in a real Airflow",
    "triggerer": "a thousand deferred jobs in one process against a loop of its own for each",
    "real_triggerer": "the same jobs in the triggerer of a real Airflow on PostgreSQL",
    "reuse_hash": "content digests of 1 GiB and of 20,000 files against a bare loop over blake3",
    "reuse_transfer": "256 MiB and 5,000 files to and from Azurite against rclone and against Azure's SDK",
    "reuse_listing": "the identity of 20,000 blobs on Azurite against the bare request for their list",
    "generator": "DAGs of this and three other generators; a thousand pipelines; bad ones",
}
"""Name to what it measures; the benchmark ``x`` is the module ``benchmarks.x``."""
_REPEATS = 5
_WIDTH = 140


def main(argv: list[str] | None = None) -> int:
    """Take the figures that the command line names."""
    arguments = _parser().parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    outcomes = [_try(name, arguments.repeats, console) for name in arguments.names or NAMES]
    results = [result for outcome in outcomes for result in outcome or []]
    if arguments.json:
        arguments.json.write_text(json.dumps({"benchmarks": results}, indent=2) + "\n")
    return 1 if None in outcomes else 0


def _parser() -> argparse.ArgumentParser:
    listing = "\n".join(f"  {name:16}{text}" for name, text in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="benchmarks/run_all.py",
        description="Take the figures of the product, with the load of the machine.",
        epilog=f"benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", type=_name, metavar="NAME", help="default: all")
    parser.add_argument("--repeats", type=_positive, default=_REPEATS, metavar="N", help="rounds; default 5")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write everything that was measured, every repeat too"
    )
    return parser


def _name(text: str) -> str:
    if text not in NAMES:
        raise argparse.ArgumentTypeError(f"there is no benchmark {text!r}; known: {', '.join(NAMES)}")
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _try(name: str, repeats: int, console: Console) -> list[dict[str, object]] | None:
    """Take the figures of a benchmark; ``None`` if it could not measure what it should."""
    try:
        return _take(name, repeats, console)
    except BenchmarkError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return None


def _take(name: str, repeats: int, console: Console) -> list[dict[str, object]]:
    module = import_module(f"benchmarks.{name}")
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix=f"mlpipe-bench-{name}-") as folder:
        reports = module.run(Settings(Path(folder).resolve(), repeats, lambda text: _say(f"{name}: {text}")))
    machine = Machine.after(load)
    for report in reports:
        print_report(console, report, machine)
    return [as_dict(name, report, machine) for report in reports]


def _say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
