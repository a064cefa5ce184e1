"""Take the last days, and hold every fourth of them out to judge both models on."""

from __future__ import annotations

import argparse
from pathlib import Path

import table

EVERY = 4


def main() -> None:
    """Write the rows to train on and the rows to judge on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--training", type=Path, required=True)
    parser.add_argument("--evaluation", type=Path, required=True)
    arguments = parser.parse_args()

    rows = table.read(arguments.data)[-arguments.days :]
    table.write(arguments.training, [row for index, row in enumerate(rows) if index % EVERY])
    table.write(arguments.evaluation, [row for index, row in enumerate(rows) if not index % EVERY])
    print(f"{len(rows)} days, every {EVERY}. held out")


if __name__ == "__main__":
    main()
