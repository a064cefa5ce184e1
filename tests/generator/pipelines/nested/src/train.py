"""Writes down what it was given."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=Path)
parser.add_argument("--rounds", type=int)
parser.add_argument("--title")
parser.add_argument("--note", default="")
parser.add_argument("--out", type=Path)
arguments = parser.parse_args()
arguments.out.mkdir(parents=True, exist_ok=True)
rows = (arguments.rows / "rows.txt").read_text()
(arguments.out / "model.txt").write_text(f"{arguments.rounds} {arguments.title} {arguments.note} {rows}")
