"""Hold out rows to judge the model on: every n-th, so that the same data always gives the same split."""

from __future__ import annotations

import argparse
from pathlib import Path

import table


def main() -> None:
    """Write the rows to train on and the rows to judge on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", type=float, required=True)
    parser.add_argument("--training", type=Path, required=True)
    parser.add_argument("--evaluation", type=Path, required=True)
    arguments = parser.parse_args()

    rows = table.read(arguments.data)
    every = round(1 / arguments.held_out)
    table.write(arguments.training, [row for index, row in enumerate(rows) if index % every])
    table.write(arguments.evaluation, [row for index, row in enumerate(rows) if not index % every])
    print(f"{len(rows)} rows, every {every}. held out")


if __name__ == "__main__":
    main()
