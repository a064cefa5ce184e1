"""Drop faulty measurements."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path


def main() -> None:
    """Copy the rows whose value is not above the limit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--cleaned", type=Path, required=True)
    arguments = parser.parse_args()

    rows = []
    for path in sorted(arguments.data.glob("*.csv")):
        with path.open(newline="") as file:
            rows += list(csv.DictReader(file))
    good = [row for row in rows if float(row["value"]) <= arguments.limit]
    print(f"{len(rows)} measurements, {len(rows) - len(good)} dropped")
    with arguments.cleaned.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["station", "value"])
        writer.writeheader()
        writer.writerows(good)


if __name__ == "__main__":
    main()
