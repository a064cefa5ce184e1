"""Check every row of the deliveries; too many bad ones stop the run before anything is registered."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from datetime import date
from pathlib import Path

COLUMNS = ["shop", "day", "amount"]


def fault(row: dict[str, str | None]) -> str:
    """Return what is wrong with a row, nothing if it is good."""
    if not row["shop"]:
        return "no shop"
    try:
        date.fromisoformat(row["day"] or "")
    except ValueError:
        return "the day is no date"
    try:
        amount = float(row["amount"] or "")
    except ValueError:
        return "the amount is no number"
    return "" if 0 <= amount < 1e6 else "the amount is out of range"


def log_metric(name: str, value: float) -> None:
    """Record a number with the run; MLflow's log_metric works as well."""
    with Path(os.environ["MLPIPE_METRICS_FILE"]).open("a") as file:
        file.write(json.dumps({"name": name, "value": value}) + "\n")


def write(path: Path, columns: list[str], rows: list[dict[str, str | None]]) -> None:
    """Write rows with a heading."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Write the good rows, and the bad ones with the reason."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--max-bad", type=float, required=True)
    parser.add_argument("--good", type=Path, required=True)
    parser.add_argument("--rejected", type=Path, required=True)
    arguments = parser.parse_args()

    good: list[dict[str, str | None]] = []
    rejected: list[dict[str, str | None]] = []
    for path in sorted(arguments.raw.glob("*.csv")):
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != COLUMNS:
                sys.exit(f"{path.name}: the columns are {reader.fieldnames}, not {COLUMNS}. Ask the sender.")
            for row in reader:
                why = fault(row)
                place = {"file": path.name, "line": str(reader.line_num), "why": why}
                (rejected if why else good).append({**row, **place})
    rows = len(good) + len(rejected)
    log_metric("rows", rows)
    log_metric("rejected", len(rejected))
    print(f"{rows} rows, {len(rejected)} rejected")
    for row in rejected[:10]:
        print(f"  {row['file']}:{row['line']} {row['why']}")
    if len(rejected) > arguments.max_bad * rows:
        sys.exit(f"More than {arguments.max_bad:.0%} of the rows are bad; nothing is registered.")
    write(arguments.good, COLUMNS, good)
    write(arguments.rejected, ["file", "line", "why", *COLUMNS], rejected)


if __name__ == "__main__":
    main()
