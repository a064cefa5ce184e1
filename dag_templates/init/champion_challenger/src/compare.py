"""Judge the challenger and the champion on the same rows."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import table


def main() -> None:
    """Write whether the challenger is better by the margin; without a champion it is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--challenger", type=Path, required=True)
    parser.add_argument("--champion", type=Path, help="left out while no model is registered")
    parser.add_argument("--evaluation", type=Path, required=True)
    parser.add_argument("--margin", type=float, required=True)
    parser.add_argument("--better", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    arguments = parser.parse_args()

    rows = table.read(arguments.evaluation)
    challenger = table.error(arguments.challenger, rows)
    champion = table.error(arguments.champion, rows) if arguments.champion else None
    better = champion is None or challenger < champion * (1 - arguments.margin)
    table.log_metric("challenger_error", challenger)
    if champion is not None:
        table.log_metric("champion_error", champion)
    words = "there is no champion yet" if champion is None else f"the champion's is {champion:.2f}"
    print(f"the challenger's error is {challenger:.2f}, {words}: {'promote' if better else 'keep the champion'}")
    arguments.better.write_text("true\n" if better else "false\n")
    report = {"challenger_error": challenger, "champion_error": champion, "margin": arguments.margin, "better": better}
    arguments.report.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
