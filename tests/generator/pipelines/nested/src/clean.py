"""Copies the rows that are not empty."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--raw", type=Path)
parser.add_argument("--out", type=Path)
arguments = parser.parse_args()
arguments.out.mkdir(parents=True, exist_ok=True)
lines = [line for file in sorted(arguments.raw.iterdir()) for line in file.read_text().splitlines() if line]
(arguments.out / "rows.txt").write_text("\n".join(lines))
