"""Mean of the measurements of each station."""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections import defaultdict
from pathlib import Path
from statistics import fmean


def log_metric(name: str, value: float) -> None:
    """Record a number with the run; MLflow's log_metric works as well."""
    with Path(os.environ["MLPIPE_METRICS_FILE"]).open("a") as file:
        file.write(json.dumps({"name": name, "value": value}) + "\n")


def main() -> None:
    """Write the means as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cleaned", type=Path, required=True)
    parser.add_argument("--summary", type=Path, required=True)
    arguments = parser.parse_args()

    values = defaultdict(list)
    with arguments.cleaned.open(newline="") as file:
        for row in csv.DictReader(file):
            values[row["station"]].append(float(row["value"]))
    means = {station: fmean(found) for station, found in sorted(values.items())}
    for station, mean in means.items():
        print(f"{station}: {mean:.2f}")
    log_metric("stations", len(means))
    arguments.summary.write_text(json.dumps(means, indent=2) + "\n")


if __name__ == "__main__":
    main()
