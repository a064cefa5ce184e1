"""Sum the scores up."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from statistics import fmean


def main() -> None:
    """Write how many flats were scored and the mean of a column."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--mean-of", choices=("price", "area"), required=True)
    parser.add_argument("--report", type=Path, required=True)
    arguments = parser.parse_args()

    with arguments.scores.open(newline="") as file:
        rows = list(csv.DictReader(file, ["flat", "area", "price"]))
    mean = fmean(float(row[arguments.mean_of]) for row in rows)
    print(f"{len(rows)} flats, mean {arguments.mean_of} {mean:.1f}")
    arguments.report.write_text(json.dumps({"flats": len(rows), f"mean_{arguments.mean_of}": mean}) + "\n")


if __name__ == "__main__":
    main()
